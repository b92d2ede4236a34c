/// What follows attention in a block: two Linear layers with an activation between them.
#pragma once

#include <tessera/layer/linear.hpp>
#include <tessera/op/gelu.hpp>
#include <tessera/op/glu.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Width, int Hidden = 4 * Width>
struct Mlp {
  Linear<Width, Hidden> up;
  Linear<Hidden, Width> down;
  constexpr Value operator()(Value x) const { return down(gelu(up(x))); }
};

/// down(f(gate(x)) * up(x)) as in Llama (SwiGlu) and Gemma (GeGlu), without biases.
template <int Width, int Hidden, class Unit = SwiGlu>
struct GatedMlp {
  Linear<Width, 2 * Hidden, NoBias> gate_up;  // rows: gate_proj's, then up_proj's
  Linear<Hidden, Width, NoBias> down;
  constexpr Value operator()(Value x) const { return down(apply<Unit>(gate_up(x))); }
};

}  // namespace tessera::inline TESSERA_SETTING
