// ranks: 1 2 4
// double
// timeout: 120
/// Models of numbers with losses of the test's own beside the same written as loops: losses,
/// gradients and weights of every step.
#include "run/losses.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

using Matrix = std::vector<double>;  // [rows, columns], rows one after another

/// Two layers and a loss as the definitions say it, over samples one by one.
struct Reference {
  int outputs;
  Matrix weight1, bias1, weight2, bias2;
  Matrix dweight1{}, dbias1{}, dweight2{}, dbias2{};

  /// The mean loss of samples first .. first + n - 1, and its gradient. `slope(i, y, dy)` gives a
  /// sample's loss and its derivatives.
  template <class Slope>
  double pass(std::int64_t first, std::int64_t n, std::int64_t many, Slope const& slope) {
    dweight1.assign(weight1.size(), 0), dbias1.assign(bias1.size(), 0);
    dweight2.assign(weight2.size(), 0), dbias2.assign(bias2.size(), 0);
    double loss = 0;
    for (std::int64_t g = first; g < first + n; ++g) {
      std::int64_t const i = g % many;
      double h[hidden], a[hidden], y[8], dy[8];
      for (int r = 0; r < hidden; ++r) {
        h[r] = bias1[r];
        for (int k = 0; k < features; ++k) h[r] += weight1[r * features + k] * feature(i, k);
        a[r] = h[r] * h[r];
      }
      for (int o = 0; o < outputs; ++o) {
        y[o] = bias2[o];
        for (int r = 0; r < hidden; ++r) y[o] += weight2[o * hidden + r] * a[r];
      }
      loss += slope(i, y, dy) / double(n);
      for (int o = 0; o < outputs; ++o) {
        double const d = dy[o] / double(n);
        dbias2[o] += d;
        for (int r = 0; r < hidden; ++r) {
          dweight2[o * hidden + r] += d * a[r];
          double const dh = d * weight2[o * hidden + r] * 2 * h[r];
          dbias1[r] += dh;
          for (int k = 0; k < features; ++k) dweight1[r * features + k] += dh * feature(i, k);
        }
      }
    }
    return loss;
  }
  void descend(double rate) {
    auto const step = [&](Matrix& w, Matrix const& dw) {
      for (std::size_t i = 0; i < w.size(); ++i) w[i] -= rate * dw[i];
    };
    step(weight1, dweight1), step(bias1, dbias1), step(weight2, dweight2), step(bias2, dbias2);
  }
};

double squared_error(std::int64_t i, double const* y, double* dy) {
  double loss = 0;
  for (int j = 0; j < aims; ++j) {
    loss += (y[j] - aim(i, j)) * (y[j] - aim(i, j)) / aims;
    dy[j] = 2 * (y[j] - aim(i, j)) / aims;
  }
  return loss;
}
double label_loss(std::int64_t i, double const* y, double* dy) {
  double sum = 0;
  for (int c = 0; c < classes; ++c) sum += std::exp(y[c]);
  for (int c = 0; c < classes; ++c) dy[c] = std::exp(y[c]) / sum - (c == label(i));
  return std::log(sum) - y[label(i)];
}

void near(std::vector<Real> const& a, Matrix const& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 1e-13);
}

template <class Model, class... Policies, class Data, class Slope>
void agrees(Data const& data, int outputs, Slope const& slope) {
  Trainer<Model, Sgd, Policies...> trainer(
      world(), {.learning_rate = 0.1, .weight_decay = 0, .shuffle = false});
  Reference r{outputs, trainer.parameter("first.up.weight"), trainer.parameter("first.up.bias"),
              trainer.parameter("last.down.weight"), trainer.parameter("last.down.bias")};
  for (Matrix* w : {&r.weight1, &r.weight2})  // larger than Init has them, so that everything bends
    for (double& x : *w) x *= 20;
  trainer.set_parameter("first.up.weight", r.weight1);
  trainer.set_parameter("last.down.weight", r.weight2);
  std::int64_t const batch =
      trainer.plan().facts.samples.samples * trainer.plan().micros * world().size();
  double first = 0, last = 0;
  for (std::int64_t step = 0; step < 6; ++step) {
    Report const report = trainer.step(data);
    last = r.pass(step * batch, batch, data.many, slope);
    if (step == 0) first = last;
    CHECK(report.tokens == batch);
    CHECK(std::abs(report.loss - last) <= 1e-13);
    near(trainer.gradient("first.up.weight"), r.dweight1);
    near(trainer.gradient("first.up.bias"), r.dbias1);
    near(trainer.gradient("last.down.weight"), r.dweight2);
    near(trainer.gradient("last.down.bias"), r.dbias2);
    r.descend(0.1);
    near(trainer.parameter("first.up.weight"), r.weight1);
    near(trainer.parameter("last.down.bias"), r.bias2);
  }
  CHECK(last != first);
  // Counts that fill no micro-batch, and one less than that of a rank: those past the end are out.
  for (std::int64_t const n : {std::int64_t(1), std::int64_t(7), data.many}) {
    CHECK(std::abs(trainer.evaluate(data, n) - r.pass(0, n, data.many, slope)) <= 1e-13);
  }
}

template <class... Policies>
void both_agree() {
  agrees<Regression, OfPoints<3>, Policies...>(Points{}, aims, squared_error);
  agrees<Classification, OfLabelledPoints<3>, Policies...>(LabelledPoints{}, classes, label_loss);
}

TEST_CASE("squared error and labels, beside loops: whole") {
  both_agree<Zero<0>>();
  both_agree<Zero<0>, Accumulate<3>>();
}
TEST_CASE("squared error and labels, beside loops: states sharded") {
  both_agree<Zero<1>, Accumulate<2>>();
}
TEST_CASE("squared error and labels, beside loops: gradients and parameters sharded") {
  both_agree<Zero<2>, Accumulate<2>>();
  both_agree<Zero<3>>();
  both_agree<Zero<3>, Accumulate<3>>();
}

/// A model of one segment, which reads the batch and computes the loss.
struct Line {
  Linear<features, aims> only;
  constexpr Value operator()(Value x) const { return apply<SquaredError>(only(x), targets(x)); }
};
struct OneSegment {
  Line line;
};
TEST_CASE("a model of one segment") {
  Trainer<OneSegment, Sgd, OfPoints<4>, Zero<3>> trainer(world(), {.shuffle = false});
  std::vector<Real> const w = trainer.parameter("line.only.weight");
  double loss = 0;
  std::int64_t const n = 4 * world().size();
  for (std::int64_t i = 0; i < n; ++i)
    for (int j = 0; j < aims; ++j) {
      double y = 0;
      for (int k = 0; k < features; ++k) y += w[std::size_t(j * features + k)] * feature(i, k);
      loss += (y - aim(i, j)) * (y - aim(i, j)) / aims / double(n);
    }
  CHECK(std::abs(trainer.step(Points{}).loss - loss) <= 1e-13);
}

}  // namespace
