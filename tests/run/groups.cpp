#include <tessera/run/groups.hpp>

#include <tessera/layer/gpt2.hpp>

#include <doctest/doctest.h>

#include <map>

namespace {

using namespace tessera;

constexpr std::string_view frozen_patterns[]{"*.norm1.*"};
struct S {
  static constexpr int sequences = 1, tokens = 8;
  static constexpr std::span<std::string_view const> frozen = frozen_patterns;
};
using Gpt = Gpt2<2, 16, 2, 32, 8>;

/// Rate and decay of every parameter's first and last element.
std::map<std::string, std::pair<double, double>> values(Options const& options) {
  Facts const facts = describe<Gpt, S>();
  Groups const groups(segment_graphs<Gpt, S>, facts, options);
  std::map<std::string, std::pair<double, double>> found;
  for (SegmentGraph const& s : segment_graphs<Gpt, S>)
    for (int layer = 0; layer < s.layers; ++layer)
      for (std::size_t k = 0; k < s.parameters.size(); ++k) {
        ParameterPlace const& place = s.places[k];
        FlatInfo const& flat = facts.flats[std::size_t(place.flat)];
        std::int64_t last = 0;
        for (Interval const& i : groups.of(place.flat, flat_layer(flat, layer))) {
          REQUIRE(i.begin == last);  // ascending, without a gap
          last = i.end;
          std::int64_t const end = place.offset + s.parameters[k].shape.count();
          if (i.begin <= place.offset && end <= i.end)
            found[numbered(s.parameters[k].path.view(), layer)] = {i.rate, i.decay};
        }
        REQUIRE(last == (flat.trainable ? flat.elements : 0));
      }
  return found;
}
std::string refusal(Options const& options) {
  try {
    values(options);
  } catch (Error const& e) {
    return e.what();
  }
  return "nothing was refused";
}

TEST_CASE("matrices and tables decay, vectors do not, frozen parameters have no group") {
  auto const v = values({.weight_decay = 0.25});
  CHECK(v.size() == 2 + 1 + 2 * 10 + 2);  // token under both its names
  for (auto const& entry : v) {
    std::string const& path = entry.first;
    auto const& value = entry.second;
    INFO(path);
    bool const matrix =
        path.ends_with("weight") || path.starts_with("embed.") || path == "head.token";
    CHECK(value.first == 1);
    CHECK(value.second == (matrix ? 0.25 : 0));
    CHECK(path.find("norm1") == std::string::npos);
  }
}
TEST_CASE("a group changes what its pattern matches, of one layer too; later ones win") {
  auto const v = values({.weight_decay = 0.25,
                         .groups = {{.pattern = "blocks.*", .rate = 0.5},
                                    {.pattern = "blocks.1.mlp.*", .rate = 2, .weight_decay = 0.5},
                                    {.pattern = "*.up.bias", .weight_decay = 1}}});
  using Pair = std::pair<double, double>;
  CHECK(v.at("blocks.0.mlp.up.weight") == Pair(0.5, 0.25));
  CHECK(v.at("blocks.1.mlp.up.weight") == Pair(2, 0.5));
  CHECK(v.at("blocks.1.mlp.down.bias") == Pair(2, 0.5));
  CHECK(v.at("blocks.0.mlp.up.bias") == Pair(1, 1));
  CHECK(v.at("blocks.1.attention.qkv.bias") == Pair(0.5, 0));
  CHECK(v.at("embed.token") == Pair(1, 0.25));
  CHECK(v.at("head.norm.gain") == Pair(1, 0));
}
TEST_CASE("a pattern that changes nothing is refused, and the sentence names it") {
  for (char const* const pattern : {"block.*", "blocks.2.*", "*.norm1.*", "head.token", ""}) {
    std::string const said = refusal({.groups = {{.pattern = "*"}, {.pattern = pattern}}});
    INFO(said);
    CHECK(said.find("'" + std::string(pattern) + "' matches no trained") != std::string::npos);
  }
}

}  // namespace
