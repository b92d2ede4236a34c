/// First steps: a tiny GPT learns the bytes of a text, then writes some.   first_steps FILE
// args: @source@/README.md
#include <tessera/tessera.hpp>

#include <cstdio>

using namespace tessera;

namespace {

// A layer is a struct: its members are layers, its call operator is the maths.
template <int Width, int Heads>
struct Block {
  LayerNorm<Width> norm1;
  CausalSelfAttention<Width, Heads> attention;
  LayerNorm<Width> norm2;
  Mlp<Width> mlp;
  constexpr Value operator()(Value x) const {
    auto const h = x + attention(norm1(x));
    return h + mlp(norm2(h));
  }
};

// A model is a struct too. Its members run one after another; the last one returns the loss.
struct Gpt {
  TokenAndPositionEmbedding<256, 64, 64> embed;
  Repeat<2, Block<64, 4>> blocks;
  TiedLmHead<256, 64> head;
};

// The model and how it is trained: from these the compiler makes the plan.
using T = Trainer<Gpt, Batch<8, 64>, ClipNorm, AdamW>;
static_assert(fits<T>(16_MiB, {.data = 1}));

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);  // first in main: MPI, and the ranks that share memory
  if (argc != 2) throw Error("first_steps FILE: name a text", true);
  int constexpr steps = 150;
  T trainer(world, {.learning_rate = 3e-3, .schedule = warmup_cosine(10, steps, 0.1)});
  auto const [train, validation] = Tokens::open(argv[1]).split(0.1);

  double const before = trainer.evaluate(validation);
  for (int i = 0; i < steps; ++i) {
    Report const r = trainer.step(train);
    if (world.root() && r.step % 30 == 0)
      std::printf("step %3ld  loss %.3f\n", long(r.step), r.loss);
  }
  double const after = trainer.evaluate(validation);

  std::string text = "Tessera ";
  std::vector<std::int32_t> const prompt(text.begin(), text.end());
  text.clear();
  for (std::int32_t byte : trainer.generate(prompt, 60)) text += char(byte);
  if (world.root())
    std::printf("validation loss %.3f -> %.3f\nit writes: %s\n", before, after, text.c_str());
  return after < before - 1.5 ? 0 : 1;
}
