/// Two losses of a user's own, a small model for each and data for it, for tests that train on what
/// is not text.
#pragma once

#include <tessera/tessera.hpp>

#include "run/small.hpp"

namespace tessera::test {

/// loss[s] = mean over j of (y[s, j] - target[s, j])^2; j may be several extents
struct SquaredError {
  static constexpr std::string_view name = "squared_error";
  static constexpr auto adjoint = by_kernels<0>;
  static constexpr Shape shape(Shape y, Shape target) {
    if (y != target) throw "squared_error: values and targets have one shape";
    return shape_of(y[0]);
  }
};

/// loss[s] = log sum exp y[s] - y[s, label[s]]
struct LabelLoss {
  static constexpr std::string_view name = "label_loss";
  static constexpr auto adjoint = by_kernels<0>;
  static constexpr Shape shape(Shape, Shape labels) { return labels; }
};

}  // namespace tessera::test

template <class Backend>
struct tessera::kernels<tessera::test::SquaredError, Backend> {
  template <Team T>
  static void run(T const& team, View<Real> loss, View<Real const> y, View<Real const> target) {
    std::int64_t const n = y.count() / loss.count();
    team.each(loss.count(), [=](std::int64_t s) {
      Real sum = 0;
      for (std::int64_t i = s * n; i < (s + 1) * n; ++i) {
        Real const d = y[i] - target[i];
        sum += d * d;
      }
      loss[s] = sum / Real(n);
    });
  }
  template <Team T>
  static void backward(Wrt<0>, T const& team, View<Real> dy, View<Real const> dloss,
                       View<Real const> y, View<Real const> target) {
    std::int64_t const n = y.count() / dloss.count();
    team.each(y.count(),
              [=](std::int64_t i) { dy[i] = dloss[i / n] * 2 * (y[i] - target[i]) / Real(n); });
  }
};

template <class Backend>
struct tessera::kernels<tessera::test::LabelLoss, Backend> {
  template <Team T>
  static void run(T const& team, View<Real> loss, View<Real const> y,
                  View<std::int32_t const> labels) {
    team.each(loss.count(),
              [=](std::int64_t s) { loss[s] = log_sum(y.row(s), y.cols()) - y.row(s)[labels[s]]; });
  }
  template <Team T>
  static void backward(Wrt<0>, T const& team, View<Real> dy, View<Real const> dloss,
                       View<Real const> y, View<std::int32_t const> labels) {
    team.each(y.rows(), [=](std::int64_t s) {
      Real const log_total = log_sum(y.row(s), y.cols());
      for (std::int64_t c = 0; c < y.cols(); ++c)
        dy.row(s)[c] = dloss[s] * (exponential(y.row(s)[c] - log_total) - Real(c == labels[s]));
    });
  }

 private:
  TESSERA_BOTH static Real exponential(Real x) { return Real(::exp(double(x))); }
  TESSERA_BOTH static Real log_sum(Real const* y, std::int64_t n) {
    Real most = y[0], sum = 0;
    for (std::int64_t c = 1; c < n; ++c) most = y[c] > most ? y[c] : most;
    for (std::int64_t c = 0; c < n; ++c) sum += exponential(y[c] - most);
    return most + Real(::log(double(sum)));
  }
};
static_assert(tessera::complete<tessera::test::SquaredError> &&
              tessera::complete<tessera::test::LabelLoss>);

namespace tessera::test {

inline constexpr int features = 5, hidden = 7, aims = 2, classes = 3;

/// hidden = (up x)^2
struct Hidden {
  Linear<features, hidden> up;
  constexpr Value operator()(Value x) const {
    Value const h = up(x);
    return h * h;
  }
};
struct Fitted {
  Linear<hidden, aims> down;
  constexpr Value operator()(Value x) const { return apply<SquaredError>(down(x), targets(x)); }
};
struct Classified {
  Linear<hidden, classes> down;
  constexpr Value operator()(Value x) const { return apply<LabelLoss>(down(x), targets(x)); }
};
struct Regression {
  Hidden first;
  Fitted last;
};
struct Classification {
  Hidden first;
  Classified last;
};

/// Element k of sample i: the same on every rank.
inline Real feature(std::int64_t i, std::int64_t k) {
  return Real(2 * uniform(RandomKey(11, "features"), i * 64 + k) - 1);
}
inline Real aim(std::int64_t i, std::int64_t j) {
  return feature(i, j) * feature(i, j + 1) - Real(0.5);
}
inline std::int32_t label(std::int64_t i) {
  return feature(i, 0) > 0.3f ? 2 : feature(i, 1) > 0 ? 1 : 0;
}

using RegressionInput = Floats<features>;
using RegressionTarget = Floats<aims>;

struct Points {
  std::int64_t many = 40;
  std::int64_t samples() const { return many; }
  void sample(std::int64_t i, RegressionInput::span x, RegressionTarget::span y) const {
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = feature(i, std::int64_t(k));
    for (std::size_t j = 0; j < y.size(); ++j) y[j] = aim(i, std::int64_t(j));
  }
};
struct LabelledPoints {
  std::int64_t many = 40;
  std::int64_t samples() const { return many; }
  void sample(std::int64_t i, std::span<Real> x, std::span<std::int32_t> y) const {
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = feature(i, std::int64_t(k));
    y[0] = label(i);
  }
};
static_assert(Data<Points, RegressionInput, RegressionTarget> &&
              Data<LabelledPoints, Floats<features>, Labels<classes>>);

template <int Count>
using OfPoints = Samples<Count, RegressionInput, RegressionTarget>;
template <int Count>
using OfLabelledPoints = Samples<Count, Floats<features>, Labels<classes>>;

}  // namespace tessera::test
