// ranks: 1 2
#include <tessera/policy/frozen.hpp>

#include "run/small.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

template <class... Policies>
using Training = Trainer<Small, AdamW, ClipNorm, Batch<1, 8>, Policies...>;

/// Patterns freeze what they name, whatever else is trained.
template <class T>
void freezes(std::vector<std::string> const& patterns, std::size_t wanted) {
  T trainer(world(), {.learning_rate = 1e-2, .weight_decay = 0.1});
  std::map<std::string, std::vector<Real>> before;
  for (std::string const& path : trainer.paths()) before[path] = trainer.parameter(path);
  for (int i = 0; i < 3; ++i) trainer.step(Counting{});
  std::size_t frozen = 0;
  for (std::string const& path : trainer.paths()) {
    bool const still =
        std::any_of(patterns.begin(), patterns.end(),
                    [&](std::string const& pattern) { return matches(pattern, path); });
    INFO(path);
    CHECK(same_bits(before[path], trainer.parameter(path)) == still);
    for (std::string const& said : {refusal([&] { trainer.gradient(path); }),
                                    refusal([&] { trainer.state("exp_avg", path); })})
      CHECK((said == "tessera: '" + path +
                         "' is frozen: it has neither gradient nor optimizer "
                         "state") == still);
    frozen += still;
  }
  CHECK(frozen == wanted);
}

TEST_CASE("frozen parameters stay as they are; all others train") {
  freezes<Training<Zero<0>, Frozen<"*.bias">, Frozen<"*.norm1.*">>>({"*.bias", "*.norm1.*"}, 12);
  freezes<Training<Zero<3>, Accumulate<2>, Frozen<"blocks.*">>>({"blocks.*"}, 24);
}
TEST_CASE("a pattern that names one place of a tied parameter freezes it in all") {
  freezes<Training<Zero<3>, Frozen<"embed.*">>>({"embed.*"}, 2);
  freezes<Training<Zero<0>, Frozen<"head.token">>>({"embed.token"}, 1);
}

constexpr Mesh mesh{.data = 2, .domain = 1};
template <class... Policies>
constexpr Bytes bytes = peak(outline(Training<Policies...>::facts(), Training<Policies...>::layout,
                                     mesh));
static_assert(bytes<Frozen<"blocks.*">> < bytes<>);
static_assert(bytes<Zero<3>, Frozen<"blocks.*">> < bytes<Zero<3>>);
static_assert(bytes<Frozen<"*">> < bytes<Frozen<"blocks.*">>);

/// Nothing in front of the first trained parameter is differentiated.
static_assert(first_trained(Training<Frozen<"embed.*">, Frozen<"blocks.*">>::facts()) == 2);
static_assert(first_trained(Training<Frozen<"embed.*">>::facts()) == 1);

}  // namespace
