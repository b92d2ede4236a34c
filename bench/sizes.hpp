/// The models that bench/compare.sh measures, and the tokens of a step over all ranks:
/// peers/sizes.py again.
#pragma once

#include <tessera/layer/gpt2.hpp>
#include <tessera/layer/llama.hpp>

#include <array>

namespace sizes {

/// A product that every layer has, with weights [out, in].
struct Product {
  std::int64_t in, out;
};

template <int Layers, int Width, int Heads, int Vocabulary, int Sequences, int Tokens>
struct Gpt2 {
  static constexpr char const* kind = "gpt2";
  static constexpr int layers = Layers, width = Width, vocabulary = Vocabulary;
  static constexpr int heads = Heads, kv_heads = Heads, hidden = 4 * Width;
  static constexpr int sequences = Sequences, tokens = Tokens;
  static constexpr std::array<Product, 4> products{
      {{Width, 3 * Width}, {Width, Width}, {Width, 4 * Width}, {4 * Width, Width}}};
  using Model = tessera::Gpt2<Layers, Width, Heads, Vocabulary, Tokens>;
};

/// A row holds several documents: token 0 ends each, and none sees another. Or with another mask.
template <int Layers, int Width, int Heads, int KvHeads, int Hidden, int Vocabulary, int Sequences,
          int Tokens, tessera::AttentionKind Mask = tessera::AttentionKind{.separator = 0}>
struct Llama {
  static constexpr char const* kind = "llama";
  static constexpr int layers = Layers, width = Width, vocabulary = Vocabulary;
  static constexpr int heads = Heads, kv_heads = KvHeads, hidden = Hidden;
  static constexpr int sequences = Sequences, tokens = Tokens;
  static constexpr std::array<Product, 4> products{{{Width, Width + 2 * KvHeads*(Width / Heads)},
                                                    {Width, Width},
                                                    {Width, 2 * Hidden},
                                                    {Hidden, Width}}};
  using Model = tessera::Llama<Layers, Width, Heads, KvHeads, Hidden, Vocabulary, 10'000, Mask>;
};

using gpt2 = Gpt2<12, 768, 12, 50304, 4, 256>;
using tiny = Gpt2<2, 128, 4, 512, 4, 32>;
using llama = Llama<22, 512, 8, 2, 1408, 32000, 1, 1024>;
using llama_tiny = Llama<2, 128, 4, 2, 352, 512, 4, 32>;

}  // namespace sizes
