/// Two Linear layers with a GELU between them.
#pragma once

#include <tessera/layer/linear.hpp>
#include <tessera/op/gelu.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Width, int Hidden = 4 * Width>
struct Mlp {
  Linear<Width, Hidden> up;
  Linear<Hidden, Width> down;
  constexpr Value operator()(Value x) const { return down(gelu(up(x))); }
};

}  // namespace tessera::inline TESSERA_SETTING
