/// A layer of your own: a struct with a call operator, nothing to register. Its graph is printed.
#include <tessera/tessera.hpp>

#include <cstdio>

#include "squares.hpp"

using namespace tessera;

namespace {

// Members give the parameters their names, shapes and first values.
template <int Width, int Hidden>
struct GatedMlp {
  Param<Hidden, Width> gate;
  Linear<Width, Hidden> up;
  Linear<Hidden, Width> down;
  constexpr Value operator()(Value x) const { return down(gelu(matmul(x, gate)) * up(x)); }
};

// Attention and MLP side by side, one norm for both: a value may be used as often as it is needed.
template <int Width, int Heads>
struct ParallelBlock {
  LayerNorm<Width> norm;
  CausalSelfAttention<Width, Heads> attention;
  GatedMlp<Width, 2 * Width> mlp;
  constexpr Value operator()(Value x) const {
    auto const n = norm(x);
    return x + attention(n) + mlp(n);
  }
};

struct Mix {
  GatedMlp<32, 48> mlp;
  constexpr Value operator()(Value x) const { return x + mlp(x); }
};

struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Mix mix;
  Repeat<2, ParallelBlock<32, 2>> blocks;
  TiedLmHead<64, 32> head;
};
using T = Trainer<Model, Batch<8, 16>, AdamW>;

// The layer's parameters in its segment's flat buffer: gate, up, down, each from a multiple of 64.
static_assert(T::facts().flats[2].name == "mix");
static_assert(T::facts().flats[2].elements == 48 * 32 + 48 * 32 + 64 + 32 * 48 + 64);

// What the compiler made of segment 1: forward, then the backward pass that nobody wrote.
void print_graph() {
  static constexpr char const* roles[] = {"", "input", "data", "parameter", "seed", "extra"};
  auto const& nodes = graph<Model, 1, T::Settings>;
  for (int i = 0; i < int(nodes.size()); ++i) {
    Node const& n = nodes[std::size_t(i)];
    std::string operands, shape;
    for (int j : n.in) operands += j < 0 ? "" : " %" + std::to_string(j);
    if (n.role == Role::parameter)
      operands = " " + std::string(parameters<Model, 1, T::Settings>[n.parameter].path.view());
    for (int d = 0; d < n.shape.rank; ++d) shape += " " + std::to_string(n.shape[d]);
    std::string const name = n.op ? std::string(n.op->name) : roles[int(n.role)];
    std::printf("%-8s %%%-2d %-11s%-20s [%s ]%s\n",
                n.part == Part::forward ? "forward" : "backward", i, name.c_str(), operands.c_str(),
                shape.c_str(), n.grad_of >= 0 ? "  into the gradient buffer" : "");
  }
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  T trainer(world, {.learning_rate = 1e-2});
  if (world.root()) print_graph();
  double const before = trainer.evaluate(Squares{});
  for (int i = 0; i < 100; ++i) trainer.step(Squares{});
  double const after = trainer.evaluate(Squares{});
  if (world.root()) std::printf("loss %.3f -> %.3f\n", before, after);
  return after < before - 0.5 ? 0 : 1;
}
