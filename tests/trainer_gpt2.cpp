// ranks: 1 2 4
// timeout: 120
#include "fixtures/steps.hpp"

using namespace tessera;

namespace {

using Tiny = Gpt2<2, 64, 4, 97, 32>;

/// The gradient of a key's bias is 0 exactly, so what is computed there is noise, and Adam steps on
/// it.
constexpr auto leave_out_key_bias = [](std::string const& path, auto& values) {
  if (path.find("qkv.bias") != std::string::npos)
    std::fill(values.begin() + 64, values.begin() + 128, 0.f);
};

TEST_CASE("20 AdamW steps of a tiny GPT-2 are PyTorch's: whole state on every rank") {
  test::follows_pytorch<Tiny, Zero<0>>("gpt2_tiny.bin", leave_out_key_bias);
}
TEST_CASE("20 AdamW steps of a tiny GPT-2 are PyTorch's: everything sharded") {
  test::follows_pytorch<Tiny, Zero<3>>("gpt2_tiny.bin", leave_out_key_bias);
}

}  // namespace
