// ranks: 1 2
// timeout: 120
/// A Llama, and one with dropout: it learns, layouts give the same bits, and 16-bit storage stays
/// close to float.
#include "../run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr int width = 32, heads = 4, tokens = 8, known = 17;

struct Block {
  RmsNorm<width> norm1{.epsilon = 1e-6};
  RotaryAttention<width, heads, heads / 2> attention;
  Dropout dropout{0.1};
  RmsNorm<width> norm2;
  GatedMlp<width, 48> mlp;
  constexpr Value operator()(Value x) const {
    auto const h = x + dropout(attention(norm1(x)));
    return h + dropout(mlp(norm2(h)));
  }
};
struct Model {
  Embedding<known, width> embed;
  Repeat<3, Block> blocks;
  LmHead<known, width, RmsNorm<width>> head;
};
using Few = Batch<2, tokens>;

struct State {
  std::vector<std::string> paths{};
  std::vector<double> losses{};
  std::vector<std::vector<Real>> weights{}, gradients{};
};

template <class... Policies>
State trained(int steps) {
  Trainer<Model, AdamW, ClipNorm, Few, Policies...> trainer(world(), {.learning_rate = 3e-3});
  State s{.paths = trainer.paths()};
  for (int i = 0; i < steps; ++i) s.losses.push_back(trainer.step(Counting{}).loss);
  for (std::string const& path : s.paths) {
    s.weights.push_back(trainer.parameter(path));
    s.gradients.push_back(trainer.gradient(path));
  }
  return s;
}

double apart(std::vector<Real> const& a, std::vector<Real> const& b) {
  double difference = 0, size = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    difference += std::pow(double(a[k]) - double(b[k]), 2);
    size += std::pow(double(a[k]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace

TEST_CASE("parameters have the names and shapes that their layers say, and no biases") {
  Trainer<Llama<3, width, heads, heads / 2, 48, known>, AdamW, Few> trainer(world());
  CHECK(trainer.shape("blocks.2.attention.qkv.weight") == shape_of(64, 32));
  CHECK(trainer.shape("blocks.2.mlp.gate_up.weight") == shape_of(96, 32));
  CHECK(trainer.shape("blocks.0.mlp.down.weight") == shape_of(32, 48));
  CHECK(trainer.shape("blocks.1.norm1.gain") == shape_of(32));
  CHECK(trainer.paths().size() == 1 + 3 * 6 + 2);
  for (std::string const& path : trainer.paths()) CHECK(!path.ends_with("bias"));
}

TEST_CASE("every Zero stage gives the same bits, in float and in 16 bits") {
  auto const same = [](State const& a, State const& b) {
    int different = 0;
    for (std::size_t i = 0; i < a.weights.size(); ++i)
      different += !same_bits(a.weights[i], b.weights[i]);
    return a.losses == b.losses && different == 0;
  };
  State const full = trained<Zero<0>>(3), low = trained<Zero<0>, Precision<bf16>>(3);
  CHECK(same(full, trained<Zero<3>>(3)));
  CHECK(same(low, trained<Zero<3>, Precision<bf16>>(3)));
  CHECK(!same(full, low));
}

TEST_CASE("16-bit storage stays close to float, while the model learns") {
  State const full = trained<Zero<3>>(1), low = trained<Zero<3>, Precision<bf16>>(1);
  CHECK(std::abs(low.losses[0] - full.losses[0]) < 2e-3);
  for (std::size_t i = 0; i < full.paths.size(); ++i) {
    CAPTURE(full.paths[i]);
    // 4 * 1.03^(L + 1 - l) * 2^-8 with three layers: Megatron's bound.
    CHECK(apart(full.gradients[i], low.gradients[i]) < 4 * 1.1255 / 256);
  }
  State const long_full = trained<Zero<3>>(60), long_low = trained<Zero<3>, Precision<bf16>>(60);
  CHECK(long_full.losses.back() < 0.8 * long_full.losses.front());
  CHECK(long_low.losses.back() < 0.8 * long_low.losses.front());
}
