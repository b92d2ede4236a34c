/// y[.., o] = sum_i weight[o, i] x[.., i] (+ bias[o]): a Linear layer's product.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/backend/gemm.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/op/sum_rows.hpp>

namespace tessera::inline TESSERA_SETTING {

struct MatmulInput {  // dx = dy weight
  static constexpr std::string_view name = "matmul_dx";
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.gemm = true, .low_in = 0b11, .low_out = 0b1};
  static constexpr Shape shape(Shape dy, Shape w) { return dy.with(-1, w[1]); }
  static constexpr double flops(Signature const& s) {
    return 2.0 * double(s.out.count() * s.in[0][-1]);
  }
};
struct MatmulWeight {  // dweight (+)= dy^T x
  static constexpr std::string_view name = "matmul_dw";
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.accumulates = 1, .gemm = true, .low_in = 0b11};
  static constexpr Shape shape(Shape dy, Shape x) { return shape_of(dy[-1], x[-1]); }
  static constexpr double flops(Signature const& s) {
    return 2.0 * double(s.out.count() * s.in[0].rows());
  }
};

namespace detail {
constexpr Shape product_shape(Shape x, Shape w) {
  if (w.rank != 2) throw "matmul: the weight must have two dimensions [out, in]";
  if (x[-1] != w[1])
    throw "matmul: the value's last dimension differs from the weight's input features";
  return x.with(-1, w[0]);
}
constexpr double product_flops(Signature const& s) {
  return 2.0 * double(s.out.count() * s.in[0][-1]);
}
}  // namespace detail

struct Matmul {
  static constexpr std::string_view name = "matmul";
  static constexpr Traits traits{.gemm = true, .low_in = 0b11, .low_out = 0b1};
  static constexpr ShapeFault check(Shape x, Shape w) { return {x[-1], w[1]}; }
  static constexpr Shape shape(Shape x, Shape w) { return detail::product_shape(x, w); }
  static constexpr double flops(Signature const& s) { return detail::product_flops(s); }
  static constexpr void adjoint(auto& d) {
    d.to(1, apply<MatmulWeight>(d.dy(), d.in(0)));
    d.to(0, apply<MatmulInput>(d.dy(), d.in(1)));
  }
};
struct MatmulBias {
  static constexpr std::string_view name = "matmul_bias";
  static constexpr std::string_view saving = "bias in the product";
  static constexpr Bytes saved(Signature const& s) { return 2 * s.out.count() * size_of(s.low); }
  static constexpr Traits traits{.gemm = true, .low_in = 0b111, .low_out = 0b1};
  static constexpr ShapeFault check(Shape x, Shape w, Shape) { return {x[-1], w[1]}; }
  static constexpr Shape shape(Shape x, Shape w, Shape b) {
    if (b.rank != 1 || b[0] != w[0]) throw "bias: it must have one element per output feature";
    return detail::product_shape(x, w);
  }
  static constexpr double flops(Signature const& s) { return detail::product_flops(s); }
  static constexpr void adjoint(auto& d) {
    d.to(2, apply<SumRows>(d.dy()));
    d.to(1, apply<MatmulWeight>(d.dy(), d.in(0)));
    d.to(0, apply<MatmulInput>(d.dy(), d.in(1)));
  }
};

template <class B>
struct kernels<Matmul, B> {
  using Gemm = typename B::template Gemm<Real>;
  static constexpr Bytes workspace(Signature const&) { return B::gemm_workspace; }
  static Gemm prepare(Signature const& s) {
    return {{.m = s.out.rows(),
             .n = s.out.cols(),
             .k = s.in[0].cols(),
             .transpose_b = true,
             .in = s.low,
             .out = s.low},
            B::gemm_workspace};
  }
  template <class Low>
  static void run(Call const& c, View<Low> y, View<Low const> x, View<Low const> w) {
    static_cast<Gemm*>(c.state)->run(x.at, w.at, y.at, nullptr, nullptr, c.workspace, c.queue);
  }
};
template <class B>
struct kernels<MatmulBias, B> {
  using Gemm = typename B::template Gemm<Real>;
  static constexpr Bytes workspace(Signature const&) { return B::gemm_workspace; }
  static Gemm prepare(Signature const& s) {
    return {{.m = s.out.rows(),
             .n = s.out.cols(),
             .k = s.in[0].cols(),
             .transpose_b = true,
             .bias = true,
             .in = s.low,
             .out = s.low},
            B::gemm_workspace};
  }
  template <class Low>
  static void run(Call const& c, View<Low> y, View<Low const> x, View<Low const> w,
                  View<Low const> b) {
    static_cast<Gemm*>(c.state)->run(x.at, w.at, y.at, b.at, nullptr, c.workspace, c.queue);
  }
};
template <class B>
struct kernels<MatmulInput, B> {
  using Gemm = typename B::template Gemm<Real>;
  static constexpr Bytes workspace(Signature const&) { return B::gemm_workspace; }
  static Gemm prepare(Signature const& s) {
    return {{.m = s.out.rows(), .n = s.out.cols(), .k = s.in[0].cols(), .in = s.low, .out = s.low},
            B::gemm_workspace};
  }
  template <class Low>
  static void run(Call const& c, View<Low> dx, View<Low const> dy, View<Low const> w) {
    static_cast<Gemm*>(c.state)->run(dy.at, w.at, dx.at, nullptr, nullptr, c.workspace, c.queue);
  }
};
template <class B>
struct kernels<MatmulWeight, B> {
  using Gemm = typename B::template Gemm<Real>;
  struct State {
    Gemm set, add;
  };
  static constexpr Bytes workspace(Signature const&) { return B::gemm_workspace; }
  static State prepare(Signature const& s) {
    GemmShape shape{.m = s.out.rows(),
                    .n = s.out.cols(),
                    .k = s.in[0].rows(),
                    .transpose_a = true,
                    .in = s.low};
    Gemm set{shape, B::gemm_workspace};
    shape.accumulate = true;
    return {std::move(set), Gemm{shape, B::gemm_workspace}};
  }
  template <class Low>
  static void run(Call const& c, View<Real> dw, View<Low const> dy, View<Low const> x) {
    auto const& state = *static_cast<State*>(c.state);
    (c.accumulate[0] ? state.add : state.set)
        .run(dy.at, x.at, dw.at, nullptr, nullptr, c.workspace, c.queue);
  }
};
static_assert(complete<MatmulInput> && complete<MatmulWeight> && complete<Matmul> &&
              complete<MatmulBias>);

/// y[b, t, :] = weight x[b, t, :]
constexpr Value matmul(Value x, ParameterSlot const& weight) {
  return apply<Matmul>(x, weight);
}
/// y[b, t, :] = weight x[b, t, :] + bias
constexpr Value linear(Value x, ParameterSlot const& weight, ParameterSlot const& bias) {
  return apply<MatmulBias>(x, weight, bias);
}

}  // namespace tessera::inline TESSERA_SETTING
