/// Causal self-attention: qkv [sequences, tokens, 3 C] -> [sequences, tokens, C]. The scores never
/// exist whole: forward keeps the log-sum-exp of every row, backward computes the rest again.
#pragma once

#include <tessera/backend/cpu/attention.hpp>
#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>

namespace tessera::inline TESSERA_SETTING {

struct CausalAttentionInput {  // operands: dy, qkv, y, log-sum-exp
  static constexpr std::string_view name = "attention_dx";
  static constexpr auto adjoint = backward_only;
  static constexpr Shape shape(Shape, Shape qkv, Shape, Shape) { return qkv; }
  static constexpr double flops(Signature const& s) {
    return 5.0 * double(s.in[0].count()) * double(s.in[0][1]);
  }
};
struct CausalAttention {  // attribute: heads
  static constexpr std::string_view name = "attention";
  static constexpr int extras = 1;  // log-sum-exp [sequences, heads, tokens]
  static constexpr Shape shape(Shape qkv, int heads) {
    if (qkv.rank != 3 || qkv[-1] % (3 * heads) != 0)
      throw "attention: expects [sequences, tokens, 3 C] with C a multiple of the heads";
    return qkv.with(-1, qkv[-1] / 3);
  }
  static constexpr Shape extra(int, Shape qkv, int heads) {
    return shape_of(qkv[0], heads, qkv[1]);
  }
  static constexpr double flops(Signature const& s) {  // half of the score matrix is masked
    return 2.0 * double(s.out.count()) * double(s.out[1]);
  }
  static constexpr void adjoint(auto& d) {
    d.to(0, apply<CausalAttentionInput>(d.settings(), d.dy(), d.in(0), d.y(), d.extra(0)));
  }
};
template <>
struct kernels<CausalAttention, Cpu> {
  static void run(Call const& c, View<Real> y, View<Real const> qkv, View<Real> log_sum) {
    Attention<Real>::forward(int(y.shape[0]), int(y.shape[1]), c.attribute,
                             int(y.shape[2]) / c.attribute, qkv.at, y.at, log_sum.at);
  }
};
template <>
struct kernels<CausalAttentionInput, Cpu> {
  static void run(Call const& c, View<Real> dqkv, View<Real const> dy, View<Real const> qkv,
                  View<Real const> y, View<Real const> log_sum) {
    Attention<Real>::backward(int(y.shape[0]), int(y.shape[1]), c.attribute,
                              int(y.shape[2]) / c.attribute, dy.at, qkv.at, y.at, log_sum.at,
                              dqkv.at);
  }
};
static_assert(complete<CausalAttention> && complete<CausalAttentionInput>);

constexpr Value causal_attention(Value qkv, int heads) {
  return apply<CausalAttention>(Settings{.attribute = heads}, qkv);
}

}  // namespace tessera::inline TESSERA_SETTING
