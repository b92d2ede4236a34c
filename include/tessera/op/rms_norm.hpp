/// y = x / sqrt(mean(x^2) + epsilon) gain over the last dimension. Zhang, Sennrich, arXiv
/// 1910.07467.
#pragma once

#include <tessera/kernels/rms_norm.hpp>
#include <tessera/op/add.hpp>

namespace tessera::inline TESSERA_SETTING {

struct RmsNormInput {  // operands: dy, x, gain, inverse
  static constexpr std::string_view name = "rms_norm_dx";
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.overwrites = 0b0001, .low_in = 0b0101};
  static constexpr Shape shape(Shape, Shape x, Shape, Shape) { return x; }
  static constexpr double flops(Signature const& s) { return 8.0 * double(s.out.count()); }
};
struct RmsNormGain {  // operands: dy, x, inverse
  static constexpr std::string_view name = "rms_norm_dw";
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.accumulates = 1, .low_in = 0b001};
  static constexpr Shape shape(Shape dy, Shape, Shape) { return shape_of(dy[-1]); }
  static constexpr double flops(Signature const& s) { return 3.0 * double(s.in[0].count()); }
};
struct RmsNormalize {
  static constexpr std::string_view name = "rms_norm";
  static constexpr std::string_view saving = "cast in the norm";
  static constexpr Bytes saved(Signature const& s) {
    return s.low == DType::real ? 0 : 2 * s.out.count() * Bytes(sizeof(Real));
  }
  static constexpr Traits traits{.low_in = 0b10, .low_out = 0b01};
  static constexpr int extras = 1;  // inverse [rows]: one over the root of the mean square
  static constexpr ShapeFault check(Shape x, Shape gain) { return {x[-1], gain[0]}; }
  static constexpr Shape shape(Shape x, Shape gain) {
    if (gain.rank != 1 || x[-1] != gain[0])
      throw "rms_norm: the value's last dimension differs from gain";
    return x;
  }
  static constexpr Shape extra(int, Shape x, Shape) { return x.with(-1, 1); }
  static constexpr double flops(Signature const& s) { return 4.0 * double(s.out.count()); }
  static constexpr void adjoint(auto& d) {
    d.to(1, apply<RmsNormGain>(d.dy(), d.in(0), d.extra(0)));
    d.to(0, apply<RmsNormInput>(d.dy(), d.in(0), d.in(1), d.extra(0)));
  }
};
template <class B>
struct kernels<RmsNormalize, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Real const> x, View<Low const> gain,
                  View<Real> inverse) {
    team.run(kernel::RmsNorm<Real, Low>{
        .y = y, .inverse = inverse, .x = x, .gain = gain, .epsilon = Real(team.number)});
  }
};
template <class B>
struct kernels<RmsNormInput, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> dx, View<Low const> dy, View<Real const> x,
                  View<Low const> gain, View<Real const> inverse) {
    team.run(kernel::RmsNormInput<Real, Low>{
        .dx = dx, .dy = dy, .x = x, .gain = gain, .inverse = inverse});
  }
};
template <class B>
struct kernels<RmsNormGain, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> dgain, View<Low const> dy, View<Real const> x,
                  View<Real const> inverse) {
    team.run(kernel::RmsNormGain<Real, Low>{
        .dgain = dgain, .dy = dy, .x = x, .inverse = inverse, .accumulate = team.accumulate[0]});
  }
};
static_assert(complete<RmsNormalize> && complete<RmsNormInput> && complete<RmsNormGain>);

constexpr Value rms_norm(Value x, ParameterSlot const& gain, double epsilon = 1e-5) {
  return apply<RmsNormalize>(Settings{.number = epsilon}, x, gain);
}

}  // namespace tessera::inline TESSERA_SETTING
