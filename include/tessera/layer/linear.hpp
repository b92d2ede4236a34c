/// Linear: y = weight x + bias over the last dimension.
#pragma once

#include <tessera/op/matmul.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int In, int Out>
struct Linear {
  Param<Out, In> weight;
  Param<Out> bias = zeros;
  constexpr Value operator()(Value x) const { return linear(x, weight, bias); }
};

}  // namespace tessera::inline TESSERA_SETTING
