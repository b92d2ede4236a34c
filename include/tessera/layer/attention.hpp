/// Causal self-attention with one projection for queries, keys and values.
#pragma once

#include <tessera/graph/rules.hpp>
#include <tessera/layer/linear.hpp>
#include <tessera/op/attention.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Width, int Heads>
struct CausalSelfAttention {
  static_assert(sizeof(rule::HeadsDivideWidth<Width, Heads>) > 0);
  Linear<Width, 3 * Width> qkv;  // rows: queries, keys, values; heads one after another in each
  Linear<Width, Width> out;
  constexpr Value operator()(Value x) const { return out(causal_attention(qkv(x), Heads)); }
};

}  // namespace tessera::inline TESSERA_SETTING
