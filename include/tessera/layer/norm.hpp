/// Normalisation over the last dimension.
#pragma once

#include <tessera/op/layer_norm.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Width>
struct LayerNorm {
  Param<Width> gain = ones;
  Param<Width> shift = zeros;
  constexpr Value operator()(Value x) const { return layer_norm(x, gain, shift); }
};

}  // namespace tessera::inline TESSERA_SETTING
