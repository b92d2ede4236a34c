#include <tessera/layer/mlp.hpp>
#include <tessera/op/silu.hpp>

#include <doctest/doctest.h>

#include "alone.hpp"

#include <cmath>

namespace {

using namespace tessera;

double silu_of(double x) {
  return x / (1 + std::exp(-x));
}
double gelu_of(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

TEST_CASE("the first half of a row is the gate, and each unit has its own activation") {
  Shape const shape = shape_of(2, 6);
  std::vector<Real> x;
  for (int i = 0; i < 12; ++i) x.push_back(Real(0.4 * i - 1.3));
  std::vector<Real> const s = test::alone(swiglu, shape, x), g = test::alone(geglu, shape, x);
  REQUIRE(s.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    std::size_t const gate = i / 3 * 6 + i % 3;
    double const up = double(x[gate + 3]);
    CHECK(std::abs(double(s[i]) - silu_of(double(x[gate])) * up) < 1e-5);
    CHECK(std::abs(double(g[i]) - gelu_of(double(x[gate])) * up) < 1e-5);
  }
  std::vector<Real> const one = test::alone(silu, shape, x);
  for (std::size_t i = 0; i < 12; ++i)
    CHECK(std::abs(double(one[i]) - silu_of(double(x[i]))) < 1e-6);
}

// Layers stay aggregates with the members that their paths name.
static_assert(requires(GatedMlp<8, 16> m) {
  { m.gate_up.weight } -> std::convertible_to<ParameterSlot>;
  { m.down.weight } -> std::convertible_to<ParameterSlot>;
});
static_assert(GatedMlp<8, 16>{}.gate_up.weight.shape == shape_of(32, 8));
static_assert(GatedMlp<8, 16>{}.down.weight.shape == shape_of(8, 16));
template <class L>
concept HasBias = requires(L l) {
  l.bias;
};
static_assert(HasBias<Linear<8, 16>> && !HasBias<Linear<8, 16, NoBias>>);

}  // namespace
