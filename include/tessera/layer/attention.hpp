/// Self-attention with one projection for queries, keys and values.
#pragma once

#include <tessera/graph/rules.hpp>
#include <tessera/layer/linear.hpp>
#include <tessera/op/attention.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Mask: what a query sees; its width and group are those of the heads.
template <int Width, int Heads, int KvHeads = Heads, AttentionKind Mask = AttentionKind{}>
struct SelfAttention {
  static_assert(sizeof(rule::HeadsDivideWidth<Width, Heads>) > 0);
  static_assert(sizeof(rule::KvHeadsDivideHeads<Heads, KvHeads>) > 0);
  static constexpr AttentionKind kind = [] {
    AttentionKind k = Mask;
    k.width = Width / Heads, k.group = KvHeads > 0 ? Heads / KvHeads : 1;
    return k;
  }();
  Linear<Width, (Heads + 2 * KvHeads) * (Width / Heads)>
      qkv;  // rows: queries, keys, values; heads one after another in each
  Linear<Width, Width> out;
  constexpr Value operator()(Value x) const { return out(attention<kind>(qkv(x))); }
};

template <int Width, int Heads>
using CausalSelfAttention = SelfAttention<Width, Heads>;

}  // namespace tessera::inline TESSERA_SETTING
