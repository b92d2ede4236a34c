// static
#include <tessera/core/glob.hpp>

namespace {

using tessera::matches;

static_assert(matches("", "") && !matches("", "a") && !matches("a", ""));
static_assert(matches("*", "") && matches("*", "a.b") && matches("**", "a"));
static_assert(matches("embed.*", "embed.token") && !matches("embed.*", "embed"));
static_assert(matches("blocks.*.mlp.*", "blocks.11.mlp.up.weight"));
static_assert(!matches("blocks.1.*", "blocks.11.mlp.up.weight"));
static_assert(matches("*.weight", "a.weight.weight") && !matches("*.weight", "a.weights"));
static_assert(matches("*ab*ab", "abab") && matches("*ab*ab", "xabyabab"));
static_assert(!matches("*ab*ab", "ab") && matches("a*b*c", "aXbXbc") && !matches("a*b*c", "acb"));
static_assert(!matches("gain", "norm.gain") && !matches("norm", "norm.gain"));

}  // namespace
