/// Self-attention with one projection for queries, keys and values.
#pragma once

#include <tessera/graph/rules.hpp>
#include <tessera/layer/linear.hpp>
#include <tessera/layer/rope.hpp>
#include <tessera/op/attention.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Heads of one layer. Mask: what a query sees; its width and group are set here.
template <int Width, int Heads, int KvHeads, AttentionKind Mask>
struct AttentionHeads {
  static_assert(sizeof(rule::HeadsDivideWidth<Width, Heads>) > 0);
  static_assert(sizeof(rule::KvHeadsDivideHeads<Heads, KvHeads>) > 0);
  static constexpr AttentionKind kind = [] {
    AttentionKind k = Mask;
    k.width = Width / Heads, k.group = KvHeads > 0 ? Heads / KvHeads : 1;
    return k;
  }();
  /// Features of the projection: queries, keys, values; heads one after another in each.
  static constexpr int features = (Heads + 2 * KvHeads) * (Width / Heads);
};

/// `SelfAttention<768, 12>`, `SelfAttention<768, 12, 4, AttentionKind{.window = 256}>`.
template <int Width, int Heads, int KvHeads = Heads, AttentionKind Mask = AttentionKind{}>
struct SelfAttention {
  using Kind = AttentionHeads<Width, Heads, KvHeads, Mask>;
  Linear<Width, Kind::features> qkv;
  Linear<Width, Width> out;
  constexpr Value operator()(Value x) const { return out(attention<Kind::kind>(qkv(x))); }
};

template <int Width, int Heads>
using CausalSelfAttention = SelfAttention<Width, Heads>;

/// With rotary positions and without biases, as in Llama, Mistral and Qwen.
template <int Width, int Heads, int KvHeads = Heads, int Theta = 10'000,
          AttentionKind Mask = AttentionKind{}>
struct RotaryAttention {
  using Kind = AttentionHeads<Width, Heads, KvHeads, Mask>;
  Linear<Width, Kind::features, NoBias> qkv;
  Rope<Heads + KvHeads, Width / Heads> rope{.theta = Theta};
  Linear<Width, Width, NoBias> out;
  constexpr Value operator()(Value x) const { return out(attention<Kind::kind>(rope(qkv(x)))); }
};

}  // namespace tessera::inline TESSERA_SETTING
