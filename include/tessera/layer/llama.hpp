/// Llama: rotary positions, RMS norms before attention and a gated MLP, no biases. Touvron et al.,
/// arXiv 2302.13971; grouped key and value heads since arXiv 2307.09288. Mistral is a Llama with a
/// window.
#pragma once

#include <tessera/graph/model.hpp>
#include <tessera/layer/attention.hpp>
#include <tessera/layer/embedding.hpp>
#include <tessera/layer/head.hpp>
#include <tessera/layer/mlp.hpp>
#include <tessera/layer/norm.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Width, int Heads, int KvHeads, int Hidden, int Theta = 10'000,
          AttentionKind Mask = AttentionKind{}>
struct LlamaBlock {
  RmsNorm<Width> norm1;
  RotaryAttention<Width, Heads, KvHeads, Theta, Mask> attention;
  RmsNorm<Width> norm2;
  GatedMlp<Width, Hidden> mlp;
  constexpr Value operator()(Value x) const {
    auto const h = x + attention(norm1(x));
    return h + mlp(norm2(h));
  }
};

/// Llama 3 8B is `Llama<32, 4096, 32, 8, 14336, 128256, 500'000>`.
template <int Layers, int Width, int Heads, int KvHeads, int Hidden, int Vocabulary = 32'000,
          int Theta = 10'000, AttentionKind Mask = AttentionKind{}>
struct Llama {
  Embedding<Vocabulary, Width> embed;
  Repeat<Layers, LlamaBlock<Width, Heads, KvHeads, Hidden, Theta, Mask>> blocks;
  LmHead<Vocabulary, Width, RmsNorm<Width>> head;
};

}  // namespace tessera::inline TESSERA_SETTING
