/// Data that is not text, and a loss of your own: which shape is in a noisy image?
// ranks: 2
// timeout: 120
#include <tessera/tessera.hpp>

#include <cmath>
#include <cstdio>

using namespace tessera;

/// loss[s] = log sum exp y[s] - y[s, label[s]]. A loss for each sample; their mean is the run's.
struct LabelLoss {
  static constexpr std::string_view name = "label_loss";
  static constexpr auto adjoint = by_kernels<0>;
  static constexpr Shape shape(Shape y, Shape) { return shape_of(y[0]); }
};

template <class Backend>
struct tessera::kernels<LabelLoss, Backend> {
  using Labels = View<std::int32_t const>;
  static Real log_sum(Real const* y, std::int64_t n) {
    Real sum = 0;
    for (std::int64_t c = 0; c < n; ++c) sum += std::exp(y[c]);
    return std::log(sum);
  }
  static void run(Call const&, View<Real> loss, View<Real const> y, Labels label) {
    for (std::int64_t s = 0; s < loss.count(); ++s)
      loss[s] = log_sum(y.row(s), y.cols()) - y.row(s)[label[s]];
  }
  static void backward(Wrt<0>, Call const&, View<Real> dy, View<Real const> dloss,
                       View<Real const> y, Labels label) {
    for (std::int64_t i = 0; i < y.count(); ++i) {
      std::int64_t const s = i / y.cols(), c = i % y.cols();
      dy[i] = dloss[s] * (std::exp(y[i] - log_sum(y.row(s), y.cols())) - Real(c == label[s]));
    }
  }
};
static_assert(tessera::complete<LabelLoss>);

constexpr int side = 12, shapes = 3;

/// A disc, a frame or a cross, somewhere in an image of noise.
struct Images {
  std::int64_t first = 0;
  std::int64_t samples() const { return 4096; }
  void sample(std::int64_t i, std::span<float, side * side> image,
              std::span<std::int32_t, 1> label) const {
    auto const random = [&](int k) {
      return uniform(RandomKey(3, "image"), (first + i) * 256 + k);
    };
    int const shape = label[0] = std::int32_t(shapes * random(255));
    int const row = 3 + int(6 * random(254)), column = 3 + int(6 * random(253));
    for (int k = 0; k < side * side; ++k) {
      int const y = std::abs(k / side - row), x = std::abs(k % side - column), far = std::max(x, y);
      bool const inside[]{x * x + y * y <= 8, far == 3, far <= 3 && x * y == 0};
      image[std::size_t(k)] = float(inside[shape]) + float(random(k)) - 0.5f;
    }
  }
};

struct Tell {
  Linear<64, shapes> down;
  constexpr Value operator()(Value x) const { return apply<LabelLoss>(down(gelu(x)), targets(x)); }
};
struct Model {
  Linear<side * side, 64> look;
  Tell tell;
};
using T = Trainer<Model, Samples<32, Floats<side * side>, Labels<shapes>>, Zero<2>, AdamW>;

int main(int argc, char** argv) {
  World world(argc, argv);
  T trainer(world, {.learning_rate = 3e-3});
  Images const seen, unseen{.first = 1 << 20};
  double const before = trainer.evaluate(unseen, 500);
  for (int i = 0; i < 300; ++i) trainer.step(seen);
  double const after = trainer.evaluate(unseen, 500);
  if (world.root()) std::printf("loss of unseen images %.3f -> %.3f\n", before, after);
  return after < 0.1 * before ? 0 : 1;
}
