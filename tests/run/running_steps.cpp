// ranks: 1 2 4
// double
// timeout: 120
/// A model with batch normalization beside the same written as loops: losses, gradients and running
/// statistics of every step; evaluation with the statistics.
#include "run/batch_norm.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

using Vector = std::vector<double>;
constexpr int samples = 5;  // of a micro-batch
constexpr int most = 40;    // of one pass
constexpr double epsilon = 1e-5, momentum = 0.1;

/// hidden = normed(up x)^2, aims = down hidden; statistics are of one micro-batch.
struct Reference {
  Vector weight1, bias1, gain, shift, weight2, bias2, mean, variance;
  Vector dweight1{}, dgain{}, dshift{}, mean_change{}, variance_change{};

  void clear() {
    dweight1.assign(weight1.size(), 0);
    for (Vector* v : {&dgain, &dshift, &mean_change, &variance_change}) v->assign(hidden, 0);
  }
  /// The mean loss of `total` samples gets the part of samples first .. first + count - 1.
  double pass(std::int64_t first, int count, std::int64_t total, std::int64_t many, bool train) {
    double h[most][hidden], n[most][hidden], dn[most][hidden]{};
    for (int s = 0; s < count; ++s)
      for (int r = 0; r < hidden; ++r) {
        h[s][r] = bias1[r];
        for (int k = 0; k < features; ++k)
          h[s][r] += weight1[r * features + k] * feature((first + s) % many, k);
      }
    Vector m = mean, v = variance;
    for (int r = 0; r < hidden && train; ++r) {
      m[r] = v[r] = 0;
      for (int s = 0; s < count; ++s) m[r] += h[s][r] / count;
      for (int s = 0; s < count; ++s) v[r] += (h[s][r] - m[r]) * (h[s][r] - m[r]) / count;
      mean_change[r] += momentum * (m[r] - mean[r]);
      variance_change[r] += momentum * (v[r] * count / (count - 1) - variance[r]);
    }
    double loss = 0;
    for (int s = 0; s < count; ++s) {
      for (int r = 0; r < hidden; ++r) n[s][r] = (h[s][r] - m[r]) / std::sqrt(v[r] + epsilon);
      for (int o = 0; o < aims; ++o) {
        double y = bias2[o];
        for (int r = 0; r < hidden; ++r) {
          double const a = gain[r] * n[s][r] + shift[r];
          y += weight2[o * hidden + r] * a * a;
        }
        double const off = y - aim((first + s) % many, o);
        loss += off * off / aims / double(total);
        for (int r = 0; r < hidden && train; ++r) {
          double const a = gain[r] * n[s][r] + shift[r];
          double const da = 2 * off / aims / double(total) * weight2[o * hidden + r] * 2 * a;
          dgain[r] += da * n[s][r], dshift[r] += da;
          dn[s][r] += da * gain[r];
        }
      }
    }
    // The textbook's gradient: what is left of dn without its mean and its part along n.
    for (int r = 0; r < hidden && train; ++r) {
      double sum = 0, along = 0;
      for (int s = 0; s < count; ++s) sum += dn[s][r], along += dn[s][r] * n[s][r];
      for (int s = 0; s < count; ++s) {
        double const dh =
            (dn[s][r] - sum / count - n[s][r] * along / count) / std::sqrt(v[r] + epsilon);
        for (int k = 0; k < features; ++k)
          dweight1[r * features + k] += dh * feature((first + s) % many, k);
      }
    }
    return loss;
  }
};

void near(std::vector<Real> const& a, Vector const& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 1e-12);
}

template <class Optimizer, class... Policies>
void agrees() {
  Trainer<NormedRegression, Optimizer, OfPoints<samples>, Policies...> trainer(
      world(), {.learning_rate = 0.01, .weight_decay = 0, .shuffle = false});
  auto const at = [&](char const* path) { return trainer.parameter(path); };
  Vector weight = at("first.up.weight");
  for (double& w : weight) w *= 20;
  trainer.set_parameter("first.up.weight", weight);
  Reference r{.weight1 = weight,
              .bias1 = at("first.up.bias"),
              .gain = at("first.norm.gain"),
              .shift = at("first.norm.bias"),
              .weight2 = at("last.down.weight"),
              .bias2 = at("last.down.bias"),
              .mean = at("first.norm.mean"),
              .variance = at("first.norm.variance")};
  CHECK(r.mean == Vector(hidden, 0.0));
  CHECK(r.variance == Vector(hidden, 1.0));
  Points const data;
  std::int64_t const micros = trainer.plan().micros * world().size(), batch = micros * samples;
  for (std::int64_t step = 0; step < 5; ++step) {
    double loss = 0;
    r.clear();
    for (std::int64_t k = 0; k < micros; ++k)
      loss += r.pass(step * batch + k * samples, samples, batch, data.many, true);
    Report const report = trainer.step(data);
    CHECK(std::abs(report.loss - loss) <= 1e-12);
    double squares = 0;  // of gradients only
    for (char const* path : {"first.up.weight", "first.up.bias", "first.norm.gain",
                             "first.norm.bias", "last.down.weight", "last.down.bias"})
      for (Real const g : trainer.gradient(path)) squares += g * g;
    CHECK(std::abs(report.gradient_norm - std::sqrt(squares)) <= 1e-12);
    near(trainer.gradient("first.up.weight"), r.dweight1);
    near(trainer.gradient("first.norm.gain"), r.dgain);
    near(trainer.gradient("first.norm.bias"), r.dshift);
    for (int c = 0; c < hidden; ++c) {
      r.mean[std::size_t(c)] += r.mean_change[std::size_t(c)] / double(micros);
      r.variance[std::size_t(c)] += r.variance_change[std::size_t(c)] / double(micros);
    }
    near(at("first.norm.mean"), r.mean);
    near(at("first.norm.variance"), r.variance);
    // Weights are as the trainer has them: optimizers have tests of their own.
    r.weight1 = at("first.up.weight"), r.bias1 = at("first.up.bias");
    r.gain = at("first.norm.gain"), r.shift = at("first.norm.bias");
    r.weight2 = at("last.down.weight"), r.bias2 = at("last.down.bias");
  }
  std::vector<Real> const mean = at("first.norm.mean"), variance = at("first.norm.variance");
  for (int const n : {3, 11, most})
    CHECK(std::abs(trainer.evaluate(data, n) - r.pass(0, n, n, data.many, false)) <= 1e-12);
  CHECK(same_bits(mean, at("first.norm.mean")));
  CHECK(same_bits(variance, at("first.norm.variance")));
}

TEST_CASE("batch normalization beside loops: whole, and states sharded") {
  agrees<Sgd, Zero<0>>();
  agrees<Sgd, Zero<0>, Accumulate<3>, ClipNorm>();
  agrees<Sgd, Zero<1>, Accumulate<2>>();
}
TEST_CASE("batch normalization beside loops: gradients and parameters sharded") {
  agrees<Sgd, Zero<2>, Accumulate<3>>();
  agrees<Sgd, Zero<3>, Accumulate<3>, ClipNorm>();
}
TEST_CASE("batch normalization beside loops: optimizers that work across tensors") {
  agrees<Lamb, Zero<0>>();
  agrees<Lamb, Zero<3>, Accumulate<2>>();
  agrees<Muon, Zero<1>>();
}

}  // namespace
