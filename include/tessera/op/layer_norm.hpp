/// y = (x - mean) / sqrt(variance + epsilon) gain + shift over the last dimension.
#pragma once

#include <tessera/kernels/layer_norm.hpp>
#include <tessera/op/add.hpp>

namespace tessera::inline TESSERA_SETTING {

struct LayerNormInput {  // operands: dy, x, gain, statistics
  static constexpr std::string_view name = "layer_norm_dx";
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.overwrites = 0b0001, .low_in = 0b0101};
  static constexpr Shape shape(Shape, Shape x, Shape, Shape) { return x; }
  static constexpr double flops(Signature const& s) { return 10.0 * double(s.out.count()); }
};
struct LayerNormParameters {  // operands: dy, x, statistics; out: dgain, extra: dshift
  static constexpr std::string_view name = "layer_norm_dw";
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.accumulates = 0b11, .low_in = 0b001};
  static constexpr int extras = 1;
  static constexpr Shape shape(Shape dy, Shape, Shape) { return shape_of(dy[-1]); }
  static constexpr Shape extra(int, Shape dy, Shape, Shape) { return shape_of(dy[-1]); }
  static constexpr double flops(Signature const& s) { return 5.0 * double(s.in[0].count()); }
};
struct LayerNormalize {
  static constexpr std::string_view name = "layer_norm";
  static constexpr std::string_view saving = "cast in the norm";
  static constexpr Bytes saved(Signature const& s) {
    return s.low == DType::real ? 0 : 2 * s.out.count() * Bytes(sizeof(Real));
  }
  static constexpr Traits traits{.low_in = 0b110, .low_out = 0b01};
  static constexpr int extras = 1;  // statistics [rows, 2]: mean, inverse standard deviation
  static constexpr ShapeFault check(Shape x, Shape gain, Shape) { return {x[-1], gain[0]}; }
  static constexpr Shape shape(Shape x, Shape gain, Shape shift) {
    if (x[-1] != gain[0] || gain != shift)
      throw "layer_norm: the value's last dimension differs from gain and shift";
    return x;
  }
  static constexpr Shape extra(int, Shape x, Shape, Shape) { return x.with(-1, 2); }
  static constexpr double flops(Signature const& s) { return 8.0 * double(s.out.count()); }
  static constexpr void adjoint(auto& d) {
    Value const gain = apply<LayerNormParameters>(d.dy(), d.in(0), d.extra(0));
    Value const shift = d.extra_of(gain, 0);
    d.to(1, gain);
    d.to(2, shift);
    d.to(0, apply<LayerNormInput>(d.settings(), d.dy(), d.in(0), d.in(1), d.extra(0)));
  }
};
template <class B>
struct kernels<LayerNormalize, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Real const> x, View<Low const> gain,
                  View<Low const> shift, View<Real> statistics) {
    team.run(kernel::LayerNorm<Real, Low>{.y = y,
                                          .statistics = statistics,
                                          .x = x,
                                          .gain = gain,
                                          .shift = shift,
                                          .epsilon = Real(team.number)});
  }
};
template <class B>
struct kernels<LayerNormInput, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> dx, View<Low const> dy, View<Real const> x,
                  View<Low const> gain, View<Real const> statistics) {
    team.run(kernel::LayerNormInput<Real, Low>{
        .dx = dx, .dy = dy, .x = x, .gain = gain, .statistics = statistics});
  }
};
template <class B>
struct kernels<LayerNormParameters, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> dgain, View<Low const> dy, View<Real const> x,
                  View<Real const> statistics, View<Real> dshift) {
    team.run(kernel::LayerNormParameters<Real, Low>{.dgain = dgain,
                                                    .dshift = dshift,
                                                    .dy = dy,
                                                    .x = x,
                                                    .statistics = statistics,
                                                    .add_gain = team.accumulate[0],
                                                    .add_shift = team.accumulate[1]});
  }
};
static_assert(complete<LayerNormalize> && complete<LayerNormInput> &&
              complete<LayerNormParameters>);

constexpr Value layer_norm(Value x, ParameterSlot const& gain, ParameterSlot const& shift,
                           double epsilon = 1e-5) {
  return apply<LayerNormalize>(Settings{.number = epsilon}, x, gain, shift);
}

}  // namespace tessera::inline TESSERA_SETTING
