#include <tessera/kernels/glu.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Point {
  double value, slope;
};
Point activation(kernel::SiluCurve, double x) {
  double const s = 1 / (1 + std::exp(-x));
  return {x * s, s + x * s * (1 - s)};
}
Point activation(kernel::GeluCurve, double x) {
  double const k = std::sqrt(2 / std::acos(-1.0));
  double const t = std::tanh(k * (x + 0.044715 * x * x * x));
  return {0.5 * x * (1 + t),
          0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)};
}

template <class Curve>
struct Reference {
  std::vector<double> y, dx;

  template <class T>
  Reference(std::int64_t rows, std::int64_t cols, std::vector<T> const& x, std::vector<T> const& dy)
      : dx(x.size()) {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) {
        std::size_t const gate = std::size_t(2 * r * cols + c), up = gate + std::size_t(cols);
        double const d = double(dy[y.size()]);
        Point const f = activation(Curve{}, double(x[gate]));
        y.push_back(f.value * double(x[up]));
        dx[gate] = d * double(x[up]) * f.slope;
        dx[up] = d * f.value;
      }
  }
};

template <class Curve, class T>
void meets_plain_loops() {
  for (std::int64_t const cols : lengths)
    for (std::int64_t const rows : {1, 3}) {
      CAPTURE(cols);
      CAPTURE(rows);
      Shape const half = shape_of(rows, cols), packed = shape_of(rows, 2 * cols);
      auto const x = values<T>(packed.count(), 1), dy = values<T>(half.count(), 2);
      Reference<Curve> const r(rows, cols, x, dy);
      std::vector<T> y(dy.size()), dx(x.size());
      CHECK(same_on_threads([&] {
        CpuTeam{}.run(kernel::GatedUnit<T, Curve>{.y = view(y, half), .x = view(x, packed)});
        return y;
      }));
      // The activation within 1e-6, times a value of at most 2; its slope within 2e-6, times two.
      CHECK(distance(y, r.y) <= tolerance<T>(2.5e-6));
      CHECK(same_on_threads([&] {
        CpuTeam{}.run(kernel::GatedUnitInput<T, Curve>{
            .dx = view(dx, packed), .dy = view(dy, half), .x = view(x, packed)});
        return dx;
      }));
      CHECK(distance(dx, r.dx) <= tolerance<T>(9e-6));
      std::vector<T> in = x;
      CpuTeam{}.run(kernel::GatedUnitInput<T, Curve>{
          .dx = view(in, packed), .dy = view(dy, half), .x = view(in, packed)});
      CHECK(in == dx);
    }
}

}  // namespace

TEST_CASE_TEMPLATE("gated units and their gradients meet plain loops, in place or not", T, float,
                   double) {
  meets_plain_loops<kernel::SiluCurve, T>();
  meets_plain_loops<kernel::GeluCurve, T>();
}

TEST_CASE("16-bit values are computed with in float and rounded once") {
  std::int64_t const rows = 2, cols = 33;
  Shape const half = shape_of(rows, cols), packed = shape_of(rows, 2 * cols);
  std::vector<bf16> x, dy, y(std::size_t(half.count())), dx(std::size_t(packed.count()));
  for (float v : values<float>(packed.count(), 3)) x.push_back(bf16(v));
  for (float v : values<float>(half.count(), 4)) dy.push_back(bf16(v));
  CpuTeam{}.run(
      kernel::GatedUnit<bf16, kernel::SiluCurve>{.y = view(y, half), .x = view(x, packed)});
  CpuTeam{}.run(kernel::GatedUnitInput<bf16, kernel::SiluCurve>{
      .dx = view(dx, packed), .dy = view(dy, half), .x = view(x, packed)});
  Reference<kernel::SiluCurve> const r(rows, cols, x, dy);
  // Half of the distance of two neighbours, which is 2^-7 of a value at most.
  CHECK(distance(y, r.y) <= 0x1p-8 + 2.5e-6);
  CHECK(distance(dx, r.dx) <= 0x1p-8 + 9e-6);
}
