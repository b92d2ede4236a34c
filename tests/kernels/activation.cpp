#include <tessera/kernels/activation.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

double const k = std::sqrt(2 / std::acos(-1.0));

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(k * (x + 0.044715 * x * x * x)));
}
double slope_of(double x) {
  double const t = std::tanh(k * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x);
}

double silu(double x) {
  return x / (1 + std::exp(-x));
}
double slope_of_silu(double x) {
  double const s = 1 / (1 + std::exp(-x));
  return s + x * s * (1 - s);
}

template <class T>
double worst(std::vector<T> const& found, std::vector<T> const& x, double (*f)(double)) {
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double const d = std::abs(double(found[i]) - f(double(x[i])));
    most = std::isnan(d) ? INFINITY : std::max(most, d);
  }
  return most;
}

}  // namespace

TEST_CASE_TEMPLATE("gelu and its slope at every length, in place of either, with and without slope",
                   T, float, double) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const x = values<T>(n, 1);
    std::vector<T> y(x.size()), slope(x.size()), other(x.size());
    CpuTeam{}.run(kernel::Gelu<T>{.y = view(y), .slope = view(slope), .x = view(x)});
    CHECK(worst(y, x, gelu) <= tolerance<T>(1e-6));
    CHECK(worst(slope, x, slope_of) <= tolerance<T>(2e-6));

    std::vector<T> in = x;
    CpuTeam{}.run(kernel::Gelu<T>{.y = view(in), .slope = view(other), .x = view(in)});
    CHECK(in == y);
    CHECK(other == slope);
    in = x;
    CpuTeam{}.run(kernel::Gelu<T>{.y = view(other), .slope = view(in), .x = view(in)});
    CHECK(other == y);
    CHECK(in == slope);
    CpuTeam{}.run(kernel::Gelu<T>{.y = view(other), .slope = {}, .x = view(x)});
    CHECK(worst(other, x, gelu) <= tolerance<T>(1e-6));
  }
}

// A sigmoid has the relative error of exp, 1e-7, and of a sum and a quotient; the slope adds twice
// that, times x / 4 at most where both of its terms count.
TEST_CASE_TEMPLATE("silu and its slope at every length, with and without slope", T, float, double) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const x = values<T>(n, 1);
    std::vector<T> y(x.size()), slope(x.size()), other(x.size());
    CpuTeam{}.run(kernel::Silu<T>{.y = view(y), .slope = view(slope), .x = view(x)});
    CHECK(worst(y, x, silu) <= tolerance<T>(1e-6));
    CHECK(worst(slope, x, slope_of_silu) <= tolerance<T>(2e-6));
    CpuTeam{}.run(kernel::Silu<T>{.y = view(other), .slope = {}, .x = view(x)});
    CHECK(other == y);
  }
}

TEST_CASE("far out silu is x or 0, and NaN stays") {
  std::vector<float> const x{-1e6f, -100, 0, 100, 1e6f, NAN};
  std::vector<float> y(x.size()), slope(x.size());
  CpuTeam{}.run(kernel::Silu<float>{.y = view(y), .slope = view(slope), .x = view(x)});
  CHECK(y[0] == 0);
  CHECK(y[1] == 0);
  CHECK(y[2] == 0);
  CHECK(slope[2] == 0.5f);
  CHECK(y[3] == 100);
  CHECK(y[4] == 1e6f);
  CHECK(slope[0] == 0);
  CHECK(slope[4] == 1);
  CHECK(std::isnan(y[5]));
  CHECK(std::isnan(slope[5]));
}

TEST_CASE("a fine sweep keeps its bounds, far out gelu is x or 0, and NaN stays") {
  std::vector<float> x;
  for (int i = -120000; i <= 120000; ++i) x.push_back(float(i) / 10000);
  std::vector<float> y(x.size()), slope(x.size());
  CHECK(same_on_threads([&] {
    CpuTeam{}.run(kernel::Gelu<float>{.y = view(y), .slope = view(slope), .x = view(x)});
    return slope;
  }));
  CHECK(worst(y, x, gelu) <= 1e-6);
  CHECK(worst(slope, x, slope_of) <= 2e-6);

  x = {-1e6f, -100, 100, 1e6f, NAN};
  y.resize(x.size()), slope.resize(x.size());
  CpuTeam{}.run(kernel::Gelu<float>{.y = view(y), .slope = view(slope), .x = view(x)});
  CHECK(y[0] == 0);
  CHECK(y[1] == 0);
  CHECK(y[2] == 100);
  CHECK(y[3] == 1e6f);
  CHECK(std::isnan(y[4]));
  CHECK(slope[0] == 0);
  CHECK(slope[3] == 1);
  CHECK(std::isnan(slope[4]));
}
