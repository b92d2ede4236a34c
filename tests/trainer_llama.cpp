// ranks: 1 2 4
// timeout: 120
#include "fixtures/steps.hpp"

using namespace tessera;

namespace {

/// 4 heads on 2 key and value heads, hidden width 88.
using Tiny = Llama<2, 64, 4, 2, 88, 97>;

TEST_CASE("20 AdamW steps of a tiny Llama are Hugging Face's: whole state on every rank") {
  test::follows_pytorch<Tiny, Zero<0>>("llama_tiny.bin");
}
TEST_CASE("20 AdamW steps of a tiny Llama are Hugging Face's: everything sharded") {
  test::follows_pytorch<Tiny, Zero<3>>("llama_tiny.bin");
}

}  // namespace
