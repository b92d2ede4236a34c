/// GPT-2: learned positions, pre-norm blocks, tied head. Radford et al., "Language Models are
/// Unsupervised Multitask Learners", 2019.
#pragma once

#include <tessera/graph/model.hpp>
#include <tessera/layer/attention.hpp>
#include <tessera/layer/embedding.hpp>
#include <tessera/layer/head.hpp>
#include <tessera/layer/mlp.hpp>
#include <tessera/layer/norm.hpp>

namespace tessera::inline TESSERA_SETTING {

/// The two projections into the residual stream start smaller, by sqrt(2 * Layers): each layer adds
/// two values to it.
template <int Width, int Heads, int Layers>
struct Gpt2Block {
  static constexpr double root(double x) {
    double r = x;
    for (int i = 0; i < 40; ++i) r = (r + x / r) / 2;
    return r;
  }
  static constexpr Init residual = normal(float(0.02 / root(2.0 * Layers)));

  LayerNorm<Width> norm1;
  CausalSelfAttention<Width, Heads> attention{.qkv = {},
                                              .out = {.weight = residual, .bias = zeros}};
  LayerNorm<Width> norm2;
  Mlp<Width> mlp{.up = {}, .down = {.weight = residual, .bias = zeros}};
  constexpr Value operator()(Value x) const {
    auto const h = x + attention(norm1(x));
    return h + mlp(norm2(h));
  }
};

template <int Layers, int Width, int Heads, int Vocabulary = 50257, int Tokens = 1024>
struct Gpt2 {
  TokenAndPositionEmbedding<Vocabulary, Tokens, Width> embed;
  Repeat<Layers, Gpt2Block<Width, Heads, Layers>> blocks;
  TiedLmHead<Vocabulary, Width> head;
};

}  // namespace tessera::inline TESSERA_SETTING
