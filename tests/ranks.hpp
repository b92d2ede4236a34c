/// A test whose program runs under mpirun: its World, which tests/main/ranks.cpp makes.
/// Include it instead of doctest.h.
#pragma once

#include <tessera/run/world.hpp>

#include <doctest/doctest.h>

namespace tessera::test {

World& world();

/// The suite of tests that mean nothing on one rank: such a run leaves it out by
/// --test-suite-exclude="several ranks".
inline doctest::test_suite const several_ranks("several ranks");

/// A test that has too few ranks to show anything fails.
inline void needs_ranks(int ranks) {
  REQUIRE_MESSAGE(world().size() >= ranks, "this test needs mpirun -n " << ranks);
}

}  // namespace tessera::test
