/// The last layer of a language model: norm, projection to the vocabulary, cross-entropy.
/// `logits` is what a generating plan reads instead of the loss.
#pragma once

#include <tessera/layer/norm.hpp>
#include <tessera/op/cross_entropy.hpp>
#include <tessera/op/matmul.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Vocabulary, int Width, class Norm = LayerNorm<Width>>
struct LmHead {
  Norm norm;
  Param<Vocabulary, Width> projection;
  constexpr Value operator()(Value x) const { return linear_cross_entropy(norm(x), projection); }
  constexpr Value logits(Value x) const { return matmul(norm(x), projection); }
};

/// Its projection is the embedding's table: same name, same storage.
template <int Vocabulary, int Width, class Norm = LayerNorm<Width>>
struct TiedLmHead {
  Norm norm;
  Tied<"token", Vocabulary, Width> token;
  constexpr Value operator()(Value x) const { return linear_cross_entropy(norm(x), token); }
  constexpr Value logits(Value x) const { return matmul(norm(x), token); }
};

}  // namespace tessera::inline TESSERA_SETTING
