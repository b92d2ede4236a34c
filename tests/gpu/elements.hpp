/// Kernels that work element by element, or sum columns, beside plain loops in double.
#pragma once

#include <tessera/kernels/activation.hpp>
#include <tessera/kernels/bias.hpp>
#include <tessera/kernels/dropout.hpp>
#include <tessera/kernels/elementwise.hpp>
#include <tessera/kernels/glu.hpp>

#include "judge.hpp"

namespace tessera::test {

inline double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

/// What a curve's kernels are held to: tanh's formula, and x sigmoid(x).
struct ValueAndSlope {
  double value, slope;
  static ValueAndSlope of(kernel::GeluCurve, double x) {
    double const root = std::sqrt(2 / 3.14159265358979323846);
    double const th = std::tanh(root * (x + 0.044715 * x * x * x));
    return {x * (1 + th) / 2,
            (1 + th) / 2 + x / 2 * (1 - th * th) * root * (1 + 3 * 0.044715 * x * x)};
  }
  static ValueAndSlope of(kernel::SiluCurve, double x) {
    return {x * sigmoid(x), sigmoid(x) * (1 + x * (1 - sigmoid(x)))};
  }
};

/// f(i) for all i < n.
template <class F>
std::vector<double> each(std::size_t n, F const& f) {
  std::vector<double> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = f(i);
  return v;
}

template <class T>
void check_elements(Judge& j, Size const& size) {
  std::int64_t const n = size.rows * size.cols;
  std::size_t const all = std::size_t(n);
  std::string const name = type_name<T> + (" of" + size.text());
  Shape const s = shape_of(n);
  auto const a = values<T>(n, 1), b = values<T>(n, 2);
  auto const f = values<float>(n, 3);
  Buffer<T> const x(j.put(a)), z(j.put(b));
  Buffer<float> const w(j.put(f)), factor(j.put(std::vector<float>{0.3f}));
  {
    auto const y = j.blank<T>(n);
    j.run(kernel::Add<T>{{y.get(), s}, {x.get(), s}, {z.get(), s}});
    auto const sum = each(all, [&](std::size_t i) { return double(a[i]) + double(b[i]); });
    j.check("sum, " + name, y, sum, roundings<T>(1), 0);
    j.run(kernel::Accumulate<T>{{y.get(), s}, {z.get(), s}});
    j.check("accumulated sum, " + name, y,
            each(all, [&](std::size_t i) { return double(T(sum[i])) + double(b[i]); }),
            roundings<T>(2));
  }
  {
    auto const y = j.blank<float>(n);
    j.run(kernel::Add<float, T>{{y.get(), s}, {w.get(), s}, {z.get(), s}});
    j.check("sum with fp32, " + name, y,
            each(all, [&](std::size_t i) { return double(f[i]) + double(b[i]); }),
            roundings<float>(1), 0);
    j.run(kernel::Convert<float, T>{{y.get(), s}, {x.get(), s}});
    j.check("to fp32, " + name, y, wide(a), 0, 0);
  }
  auto const y = j.blank<T>(n), slope = j.blank<T>(n);
  j.run(kernel::Convert<T, float>{{y.get(), s}, {w.get(), s}});
  // Below the least normal fp16 a unit is no share of the value.
  j.check("from fp32, " + name, y, wide(f), sizeof(T) == 2 ? unit<T> : 0, 0x1p-14);
  j.run(kernel::Multiply<T>{{y.get(), s}, {x.get(), s}, {z.get(), s}});
  j.check("product, " + name, y,
          each(all, [&](std::size_t i) { return double(a[i]) * double(b[i]); }), roundings<T>(1));
  j.run(kernel::Scale<T>{{y.get(), s}, {x.get(), s}, factor.get()});
  j.check("scaled, " + name, y, each(all, [&](std::size_t i) { return double(a[i]) * 0.3f; }),
          roundings<T>(1));
  auto const curve = [&](auto of, std::string const& what) {
    j.run(kernel::Activation<T, decltype(of)>{{y.get(), s}, {slope.get(), s}, {x.get(), s}});
    auto const at = [&](std::size_t i) { return ValueAndSlope::of(of, double(a[i])); };
    j.check(what + ", " + name, y, each(all, [&](std::size_t i) { return at(i).value; }),
            roundings<T>(16));
    j.check(what + "'s slope, " + name, slope,
            each(all, [&](std::size_t i) { return at(i).slope; }), roundings<T>(32));
  };
  curve(kernel::GeluCurve{}, "gelu");
  curve(kernel::SiluCurve{}, "silu");
}

template <class T>
void check_columns(Judge& j, Size const& size) {
  std::int64_t const rows = size.rows, cols = size.cols, n = rows * cols;
  std::string const name = type_name<T> + (" of" + size.text());
  Shape const s = shape_of(rows, cols), c = shape_of(cols);
  auto const x = values<T>(n, 1), b = values<T>(cols, 2);
  auto const before = values<float>(cols, 3);
  std::size_t const width = std::size_t(cols);
  Buffer<T> const in(j.put(x)), bias(j.put(b));
  auto const y = j.blank<T>(n);
  j.run(kernel::BiasAdd<T>{{y.get(), s}, {in.get(), s}, {bias.get(), c}});
  j.check("bias, " + name, y,
          each(x.size(), [&](std::size_t i) { return double(x[i]) + double(b[i % width]); }),
          roundings<T>(1), 0);
  for (bool const accumulate : {false, true}) {
    auto const out = accumulate ? j.put(before) : j.blank<float>(cols);
    j.run(kernel::SumRows<T>{{out.get(), c}, {in.get(), s}, accumulate});
    std::vector<double> sum = accumulate ? wide(before) : std::vector<double>(width);
    for (std::size_t i = 0; i < x.size(); ++i) sum[i % width] += double(x[i]);
    j.check((accumulate ? "added sum of rows, " : "sum of rows, ") + name, out, sum,
            roundings<float>(of_sum(rows)));
  }
}

template <class T, class Curve>
void check_gated_unit(Judge& j, Size const& size, std::string const& what) {
  std::int64_t const rows = size.rows, cols = size.cols, n = rows * cols;
  std::string const name = ", " + (type_name<T> + (" of" + size.text()));
  Shape const s = shape_of(rows, cols), twice = shape_of(rows, 2 * cols);
  auto const x = values<T>(2 * n, 1), dy = values<T>(n, 2);
  Buffer<T> const in(j.put(x)), up(j.put(dy));
  auto const y = j.blank<T>(n), dx = j.blank<T>(2 * n);
  j.run(kernel::GatedUnit<T, Curve>{{y.get(), s}, {in.get(), twice}});
  j.run(kernel::GatedUnitInput<T, Curve>{{dx.get(), twice}, {up.get(), s}, {in.get(), twice}});
  std::vector<double> value, gradient(x.size());
  for (std::size_t r = 0; r < std::size_t(rows); ++r)
    for (std::size_t c = 0; c < std::size_t(cols); ++c) {
      std::size_t const gate = 2 * r * std::size_t(cols) + c, other = gate + std::size_t(cols);
      auto const at = ValueAndSlope::of(Curve{}, double(x[gate]));
      double const d = double(dy[value.size()]);
      gradient[gate] = d * double(x[other]) * at.slope, gradient[other] = d * at.value;
      value.push_back(at.value * double(x[other]));
    }
  j.check(what + name, y, value, roundings<T>(32));
  j.check(what + "'s gradient" + name, dx, gradient, roundings<T>(64));
}

template <class T>
void check_dropout(Judge& j, Size const& size) {
  std::int64_t const each_of = size.cols * size.rows / 2;
  std::vector<std::uint32_t> const keys{1, 2, 0x80000000u, 0xffffffffu};
  auto const x = values<T>(2 * each_of, 1);
  Shape const s = shape_of(2, each_of);
  Buffer<T> const in(j.put(x));
  Buffer<std::uint32_t> const of(j.put(keys));
  auto const y = j.blank<T>(2 * each_of);
  j.run(kernel::Dropout<T>{
      {y.get(), s}, {in.get(), s}, {of.get(), shape_of(2, 2)}, 0x123456789abcdef0u, 0.3});
  std::vector<double> expected;
  for (std::int64_t k = 0; k < 2; ++k)
    for (std::int64_t e = 0; e < each_of; ++e) {
      RandomKey key;
      key.seed = keys[std::size_t(2 * k)] + (std::uint64_t(keys[std::size_t(2 * k + 1)]) << 32);
      key.stream = 0x123456789abcdef0u;
      bool const dropped = double(words(key, e / 4).at[e % 4]) * 0x1p-32 < 0.3;
      expected.push_back(dropped ? 0 : double(x[expected.size()]) / 0.7);
    }
  j.check("dropout, " + (type_name<T> + (" of" + size.text())), y, expected, roundings<T>(2));
}

}  // namespace tessera::test
