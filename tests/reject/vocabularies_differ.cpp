// expect: the embedding and the loss have different vocabularies
// expect: VocabulariesAgree<64, 65>
#include "setup.hpp"

struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  LmHead<65, 32> head;
};
static_assert(traced<Model> == 2);
int main() {}
