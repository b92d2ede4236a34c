/// Fine-tuning: a frozen embedding, which costs nothing but its weights, and parameter groups.
// ranks: 2
// timeout: 180
#include <tessera/tessera.hpp>

#include <cstdio>

#include "squares.hpp"

using namespace tessera;

namespace {

struct Block {
  LayerNorm<32> norm1;
  CausalSelfAttention<32, 2> attention;
  LayerNorm<32> norm2;
  Mlp<32> mlp;
  constexpr Value operator()(Value x) const {
    auto const h = x + attention(norm1(x));
    return h + mlp(norm2(h));
  }
};
struct Model {
  Embedding<64, 32> embed;
  Repeat<2, Block> blocks;
  LmHead<64, 32> head;
};
using All = Trainer<Model, Batch<8, 16>, Zero<1>, AdamW>;
using T = Trainer<Model, Batch<8, 16>, Zero<1>, AdamW, Frozen<"embed.*">>;

// No gradient, no optimizer states, and backward ends where nothing below is trained.
constexpr Bytes memory(Facts const& facts) {
  return peak(outline(facts, T::layout, {.data = 2, .domain = 2}));
}
static_assert(memory(T::facts()) < memory(All::facts()));
static_assert(first_trained(T::facts()) == 1 && !T::facts().flats[0].trainable);

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  // Groups are settings of a run, by path; the last one that matches counts.
  T trainer(world, {.learning_rate = 1e-2,
                    .weight_decay = 0.1,
                    .groups = {{.pattern = "blocks.0.*", .rate = 0.3},
                               {.pattern = "*.norm*", .weight_decay = 0.05},
                               {.pattern = "head.norm.*", .rate = 0}}});
  std::vector<std::vector<Real>> before;
  for (std::string const& path : trainer.paths()) before.push_back(trainer.parameter(path));
  double const first = trainer.evaluate(Squares{});
  for (int i = 0; i < 60; ++i) trainer.step(Squares{});
  double const last = trainer.evaluate(Squares{});

  int wrong = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    std::string const& path = trainer.paths()[i];
    bool const still = path.starts_with("embed.") || path.starts_with("head.norm.");
    bool const moved = trainer.parameter(path) != before[i];
    if (world.root()) std::printf("%-29s %s\n", path.c_str(), moved ? "trained" : "as it was");
    wrong += moved == still;
  }
  if (world.root()) std::printf("loss %.3f -> %.3f\n", first, last);
  return wrong == 0 && last < first - 1 ? 0 : 1;
}
