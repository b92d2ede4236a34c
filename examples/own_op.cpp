/// An op of your own: squared ReLU and its kernels, trained and checked by finite differences.
#include <tessera/tessera.hpp>

#include <cmath>
#include <cstdio>
#include <numeric>

#include "squares.hpp"

using namespace tessera;

namespace {

/// y = max(x, 0)^2. So, Manke, Liu, et al., "Primer", 2021.
struct SquaredRelu {
  static constexpr std::string_view name = "squared_relu";
  static constexpr auto adjoint = by_kernels<0>;  // operand 0 has a kernel: backward, below
  static constexpr Shape shape(Shape x) { return x; }
};

}  // namespace

// One source for every backend: the team owns the loop.
template <class Backend>
struct tessera::kernels<SquaredRelu, Backend> {
  template <Team T>
  static void run(T const& team, View<Real> y, View<Real const> x) {
    team.each(x.count(), [=] TESSERA_BOTH(long i) { y[i] = x[i] > 0 ? x[i] * x[i] : 0; });
  }
  template <Team T>
  static void backward(Wrt<0>, T const& team, View<Real> dx, View<Real const> dy,
                       View<Real const> x) {
    team.each(x.count(), [=] TESSERA_BOTH(long i) { dx[i] = x[i] > 0 ? 2 * x[i] * dy[i] : 0; });
  }
};
static_assert(tessera::complete<SquaredRelu>);  // what is missing is refused here, by name

namespace {

struct Layer {
  Linear<32, 64> up;
  Linear<64, 32> down;
  constexpr Value operator()(Value x) const { return x + down(apply<SquaredRelu>(up(x))); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Repeat<2, Layer> layers;
  TiedLmHead<64, 32> head;
};
using T = Trainer<Model, Batch<8, 16>, AdamW>;

/// The slope of the loss along a weight's gradient g is |g|: how far is a difference from it?
double error_of_gradient(T& trainer, Squares const& data, std::string const& path) {
  std::vector<Real> const g = trainer.gradient(path), at = trainer.parameter(path);
  double const length = std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
  auto const loss = [&](double distance) {
    std::vector<Real> moved = at;
    for (std::size_t i = 0; i < g.size(); ++i) moved[i] += Real(distance / length) * g[i];
    trainer.set_parameter(path, moved);
    return trainer.evaluate(data);
  };
  double const h = 0.02, slope = (loss(h) - loss(-h)) / (2 * h);
  return std::abs(slope / length - 1);
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  T trainer(world, {.learning_rate = 1e-2});
  Squares const data{.count = 8};  // one global batch of one rank, so evaluate() sees the same
  double const first = trainer.step(data).loss;
  for (int i = 0; i < 40; ++i) trainer.step(data);
  trainer.options().learning_rate = 0;  // the last gradient is then one of the weights as they are
  double const last = trainer.step(data).loss;
  double const error = error_of_gradient(trainer, data, "layers.0.up.weight");
  if (world.root())
    std::printf("loss %.3f -> %.3f; the gradient differs by %.1e\n", first, last, error);
  return last < first / 2 && error < 0.01 ? 0 : 1;
}
