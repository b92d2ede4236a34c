#include <tessera/graph/path.hpp>

#include <doctest/doctest.h>

namespace {

using namespace tessera;

static_assert((Path{} / "blocks").view() == "blocks");
static_assert((Path{} / "blocks" / "*" / "mlp").view() == "blocks.*.mlp");

TEST_CASE("the star becomes the layer's number") {
  CHECK(numbered("blocks.*.mlp.up.weight", 12) == "blocks.12.mlp.up.weight");
  CHECK(numbered("embed.token", 3) == "embed.token");
}
TEST_CASE("a path holds 79 characters, and says so") {
  std::string const name(39, 'a');
  CHECK((Path{} / name / name).view().size() == 79);
  CHECK_THROWS_AS((Path{} / name / name / "b").view(), char const*);
}

}  // namespace
