#!/bin/sh
# test
# timeout: 600
# args: @build@/tests policy-keep_float policy-stochastic_rounding
# Tests of what is stored in how many bits, where ranks share no memory, and where two domains of
# two do.
exec sh "$(dirname "$0")/../domains.sh" "$@"
