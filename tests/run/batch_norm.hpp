/// Batch normalization as a user writes it, with running statistics, and a small model with it.
/// Ioffe, Szegedy, "Batch Normalization", ICML 2015.
#pragma once

#include "run/losses.hpp"

namespace tessera::test {

struct BatchMomentsInput {  // operands: dmoments, x, moments
  static constexpr std::string_view name = "batch_moments_dx";
  static constexpr auto adjoint = backward_only;
  static constexpr Shape shape(Shape, Shape x, Shape) { return x; }
};
/// [2, C]: means and variances of the columns, in evaluation the running ones. The changes of both
/// are extras; the number is the momentum.
struct BatchMoments {
  static constexpr std::string_view name = "batch_moments";
  static constexpr int extras = 2;
  static constexpr Shape shape(Shape x, Shape, Shape) { return shape_of(2, x[-1]); }
  static constexpr Shape extra(int, Shape, Shape mean, Shape) { return mean; }
  static constexpr void adjoint(auto& d) {
    d.to(1, d.extra(0));
    d.to(2, d.extra(1));
    d.to(0, apply<BatchMomentsInput>(d.dy(), d.in(0), d.y()));
  }
};
/// y = gain (x - mean) / sqrt(variance + epsilon) + bias
struct Normalize {
  static constexpr std::string_view name = "normalize";
  static constexpr auto adjoint = by_kernels<0, 1, 2, 3>;
  static constexpr Shape shape(Shape x, Shape, Shape, Shape) { return x; }
};

}  // namespace tessera::test

template <class B>
struct tessera::kernels<tessera::test::BatchMoments, B> {
  template <Team T>
  static void run(T const& team, View<Real> moments, View<Real const> x, View<Real const> mean,
                  View<Real const> variance, View<Real> mean_change, View<Real> variance_change) {
    std::int64_t const n = x.rows(), cols = x.cols();
    Real const momentum = Real(team.number);
    bool const training = team.training;
    team.each(cols, [=](std::int64_t c) {
      Real m = mean[c], v = variance[c];
      if (training) {
        m = 0, v = 0;
        for (std::int64_t r = 0; r < n; ++r) m += x.row(r)[c] / Real(n);
        for (std::int64_t r = 0; r < n; ++r) v += (x.row(r)[c] - m) * (x.row(r)[c] - m) / Real(n);
      }
      moments[c] = m, moments[cols + c] = v;
      mean_change[c] = momentum * (m - mean[c]);
      variance_change[c] = momentum * (v * Real(n) / Real(n - 1) - variance[c]);
    });
  }
};
template <class B>
struct tessera::kernels<tessera::test::BatchMomentsInput, B> {
  template <Team T>
  static void run(T const& team, View<Real> dx, View<Real const> dmoments, View<Real const> x,
                  View<Real const> moments) {
    std::int64_t const n = x.rows(), cols = x.cols();
    team.each(x.count(), [=](std::int64_t i) {
      std::int64_t const c = i % cols;
      dx[i] = (dmoments[c] + 2 * dmoments[cols + c] * (x[i] - moments[c])) / Real(n);
    });
  }
};
template <class B>
struct tessera::kernels<tessera::test::Normalize, B> {
  using In = View<Real const>;
  TESSERA_BOTH static Real slope(In moments, std::int64_t c) {
    return Real(1 / ::sqrt(double(moments[moments.cols() + c]) + 1e-5));
  }
  template <Team T>
  static void run(T const& team, View<Real> y, In x, In moments, In gain, In bias) {
    team.each(x.count(), [=](std::int64_t i) {
      std::int64_t const c = i % x.cols();
      y[i] = gain[c] * (x[i] - moments[c]) * slope(moments, c) + bias[c];
    });
  }
  template <Team T>
  static void backward(Wrt<0>, T const& team, View<Real> dx, In dy, In x, In moments, In gain, In) {
    team.each(x.count(), [=](std::int64_t i) {
      dx[i] = dy[i] * gain[i % x.cols()] * slope(moments, i % x.cols());
    });
  }
  template <Team T>
  static void backward(Wrt<1>, T const& team, View<Real> d, In dy, In x, In moments, In gain, In) {
    team.each(x.cols(), [=](std::int64_t c) {
      Real const s = slope(moments, c);
      Real to_mean = 0, to_variance = 0;
      for (std::int64_t r = 0; r < x.rows(); ++r) {
        to_mean -= dy.row(r)[c] * gain[c] * s;
        to_variance -= dy.row(r)[c] * gain[c] * (x.row(r)[c] - moments[c]) * s * s * s / 2;
      }
      d[c] = to_mean, d[x.cols() + c] = to_variance;
    });
  }
  template <Team T>
  static void backward(Wrt<2>, T const& team, View<Real> d, In dy, In x, In moments, In, In) {
    team.each(x.cols(), [=](std::int64_t c) {
      d[c] = 0;
      for (std::int64_t r = 0; r < x.rows(); ++r)
        d[c] += dy.row(r)[c] * (x.row(r)[c] - moments[c]) * slope(moments, c);
    });
  }
  template <Team T>
  static void backward(Wrt<3>, T const& team, View<Real> d, In dy, In x, In, In, In) {
    team.each(x.cols(), [=](std::int64_t c) {
      d[c] = 0;
      for (std::int64_t r = 0; r < x.rows(); ++r) d[c] += dy.row(r)[c];
    });
  }
};
static_assert(tessera::complete<tessera::test::BatchMoments> &&
              tessera::complete<tessera::test::BatchMomentsInput> &&
              tessera::complete<tessera::test::Normalize>);

namespace tessera::test {

/// torch.nn.BatchNorm1d
template <int Width>
struct BatchNorm {
  Param<Width> gain = ones;
  Param<Width> bias = zeros;
  Running<Width> mean = zeros;
  Running<Width> variance = ones;
  constexpr Value operator()(Value x) const {
    Value const moments = apply<BatchMoments>(Settings{.number = 0.1}, x, mean, variance);
    return apply<Normalize>(x, moments, gain, bias);
  }
};

struct NormedHidden {
  Linear<features, hidden> up;
  BatchNorm<hidden> norm;
  constexpr Value operator()(Value x) const {
    Value const h = norm(up(x));
    return h * h;
  }
};
struct NormedRegression {
  NormedHidden first;
  Fitted last;
};

struct NormedLayer {
  Linear<hidden, hidden> mix;
  BatchNorm<hidden> norm;
  constexpr Value operator()(Value x) const { return x + norm(mix(x)); }
};
/// A stack of layers that each have statistics.
struct NormedStack {
  NormedHidden first;
  Repeat<3, NormedLayer> layers;
  Fitted last;
};

}  // namespace tessera::test
