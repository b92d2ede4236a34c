/// Normalisation over the last dimension.
#pragma once

#include <tessera/op/layer_norm.hpp>
#include <tessera/op/rms_norm.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Width>
struct LayerNorm {
  Param<Width> gain = ones;
  Param<Width> shift = zeros;
  double epsilon = 1e-5;
  constexpr Value operator()(Value x) const { return layer_norm(x, gain, shift, epsilon); }
};

/// As in Llama, whose first version has an epsilon of 1e-6: `RmsNorm<Width> norm{.epsilon = 1e-6};`
template <int Width>
struct RmsNorm {
  Param<Width> gain = ones;
  double epsilon = 1e-5;
  constexpr Value operator()(Value x) const { return rms_norm(x, gain, epsilon); }
};

}  // namespace tessera::inline TESSERA_SETTING
