/// Token embedding, alone or with learned positions. The table's name ties it to the head.
#pragma once

#include <tessera/op/embedding.hpp>

namespace tessera::inline TESSERA_SETTING {

template <int Vocabulary, int Width>
struct Embedding {
  Param<Vocabulary, Width> token;
  constexpr Value operator()(Value tokens) const { return embedding(tokens, token); }
};

template <int Vocabulary, int Tokens, int Width>
struct TokenAndPositionEmbedding {
  Tied<"token", Vocabulary, Width> token;
  Param<Tokens, Width> position = normal(0.01f);
  constexpr Value operator()(Value tokens) const {
    return add_position(embedding(tokens, token), position);
  }
};

}  // namespace tessera::inline TESSERA_SETTING
