// ranks: 1 2 4
// timeout: 120
#include <tessera/run/generator.hpp>

#include "run/small.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

constexpr std::array<std::int32_t, 8> song{3, 1, 4, 1, 5, 9, 2, 6};

/// The same eight tokens over and over, from any of them on.
struct Repeating {
  std::int64_t samples(int) const { return 8; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t i = 0; i < in.size(); ++i) {
      in[i] = song[(std::size_t(index) + i) % 8];
      out[i] = song[(std::size_t(index) + i + 1) % 8];
    }
  }
};

bool same_everywhere(std::vector<std::int32_t> text) {
  std::vector<std::int32_t> first = text;
  MPI_Bcast(first.data(), int(first.size()), MPI_INT32_T, 0, world().comm());
  return first == text;
}

template <class... Policies>
void writes_what_it_has_learnt() {
  Trainer<Small, AdamW, Batch<2, 8>, Policies...> trainer(world(), {.learning_rate = 1e-2});
  // The least is 0.02: nobody knows what follows the 1 that a sample begins with.
  for (int step = 0; step < 1000 && trainer.evaluate(Repeating{}) > 0.04; ++step)
    trainer.step(Repeating{});
  REQUIRE(trainer.evaluate(Repeating{}) <= 0.04);
  // 3 1 4: a 1 alone could be followed by 4 or 5, so it takes attention.
  auto const text = trainer.generate(std::span(song).first(3), 21, {.temperature = 0});
  REQUIRE(text.size() == 24);
  for (std::size_t i = 0; i < text.size(); ++i) CHECK(text[i] == song[i % 8]);
  // Drawn, not always the likeliest: the same with the same seed, on all ranks.
  Sampling const drawn{.temperature = 50, .seed = 5};
  auto const random = trainer.generate(std::span(song).first(1), 20, drawn);
  CHECK(same_everywhere(random));
  CHECK(random == trainer.generate(std::span(song).first(1), 20, drawn));
  CHECK(random != trainer.generate(std::span(song).first(1), 20, {.temperature = 50, .seed = 6}));
  for (std::int32_t t : random) CHECK((t >= 0 && t < 17));
  CHECK(trainer.step(Repeating{}).loss < 0.6);  // writing has changed nothing that training needs
}

TEST_CASE("a model that knows a text by heart writes it: whole on every rank") {
  writes_what_it_has_learnt<Zero<0>>();
}
TEST_CASE("a model that knows a text by heart writes it: everything sharded") {
  writes_what_it_has_learnt<Zero<3>>();
}
TEST_CASE("a prompt that is empty, or holds a token that the model does not know, is refused") {
  Trainer<Small, AdamW, Batch<2, 8>, Zero<0>> trainer(world(), {});
  for (std::vector<std::int32_t> const& prompt :
       {std::vector<std::int32_t>{}, std::vector<std::int32_t>{3, 17},
        std::vector<std::int32_t>{-1}}) {
    std::string const said = refusal([&] { trainer.generate(prompt, 1); });
    INFO(said);
    CHECK(is_one_sentence(said));
    CHECK(contains(said, "prompt"));
  }
}

}  // namespace
