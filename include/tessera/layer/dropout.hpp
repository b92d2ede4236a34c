/// Dropout, off in evaluation and generation: `Dropout dropout{0.1};`
#pragma once

#include <tessera/op/dropout.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Dropout {
  double probability = 0.1;
  constexpr Value operator()(Value x) const { return dropout(x, probability); }
};

}  // namespace tessera::inline TESSERA_SETTING
