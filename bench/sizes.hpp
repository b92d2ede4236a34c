/// The models that bench/compare.sh measures, and the tokens of a step over all ranks.
#pragma once

#include <tessera/layer/gpt2.hpp>

namespace sizes {

struct gpt2 {
  static constexpr int layers = 12, width = 768, heads = 12, vocabulary = 50304;
  static constexpr int sequences = 4, tokens = 256;
};
struct tiny {
  static constexpr int layers = 2, width = 128, heads = 4, vocabulary = 512;
  static constexpr int sequences = 4, tokens = 32;
};

}  // namespace sizes
