// manual
/// Only the matrix products of a step, with the library's own product: the time that no step can
/// beat without a faster product. Prints {"seconds": [...], "flops": N}: a number per repetition,
/// and what each multiplies.
#include <tessera/op/cross_entropy.hpp>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "sizes.hpp"

using namespace tessera;

namespace {

struct Product {
  GemmShape shape;
  int times;
  CpuGemm<float> gemm{shape, Cpu::gemm_workspace};
};

/// Forward, for the input's gradient and for the weight's, which is real.
template <class Size>
std::vector<Product> products(DType low) {
  constexpr std::int64_t n = Size::sequences * Size::tokens, c = Size::width, v = Size::vocabulary;
  std::vector<Product> all;
  auto const linear = [&](std::int64_t in, std::int64_t out, int times, std::int64_t rows,
                          DType result, DType gradient) {
    all.push_back(
        {{.m = rows, .n = out, .k = in, .transpose_b = true, .in = low, .out = result}, times});
    all.push_back({{.m = rows, .n = in, .k = out, .in = low, .out = gradient}, times});
    all.push_back({{.m = out, .n = in, .k = rows, .transpose_a = true, .in = low}, times});
  };
  for (sizes::Product const& p : Size::products) linear(p.in, p.out, Size::layers, n, low, low);
  // The head's products come in these pieces; logits are real, and so are sums over blocks.
  std::int64_t const chunk = loss_chunk(n, v), block = loss_block<Cpu>(v, low);
  linear(c, block, int((n + chunk - 1) / chunk * ((v + block - 1) / block)), chunk, DType::real,
         block < v ? DType::real : low);
  return all;
}

template <class Size>
void measure(DType low, int steps, int warmup) {
  std::vector<Product> const all = products<Size>(low);
  std::size_t a = 0, b = 0, d = 0;
  for (Product const& p : all) {
    GemmShape const& s = p.shape;
    a = std::max(a, std::size_t(s.m * s.k)), b = std::max(b, std::size_t(s.k * s.n));
    d = std::max(d, std::size_t(s.m * s.n));
  }
  // Either half of such a float is the same number in bf16.
  std::vector<float> left(a, std::bit_cast<float>(0x3c233c23u)), right(b, left[0]);
  std::vector<float> out(d, 0.f);
  std::vector<std::byte> workspace(static_cast<std::size_t>(Cpu::gemm_workspace));
  double flops = 0;
  for (Product const& p : all) flops += 2.0 * p.times * double(p.shape.m * p.shape.n * p.shape.k);
  std::string seconds;
  for (int i = 0; i < warmup + steps; ++i) {
    auto const start = std::chrono::steady_clock::now();
    for (Product const& p : all)
      for (int k = 0; k < p.times; ++k)
        p.gemm.run(left.data(), right.data(), out.data(), nullptr, nullptr, workspace.data());
    double const s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i >= warmup) seconds += (seconds.empty() ? "" : ", ") + std::to_string(s);
  }
  std::printf("{\"seconds\": [%s], \"flops\": %.0f}\n", seconds.c_str(), flops);
}

}  // namespace

int main(int argc, char** argv) {
  std::string size = "gpt2";
  DType low = DType::real;
  int steps = 3, warmup = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--size")) size = argv[i + 1];
    if (!std::strcmp(argv[i], "--precision") && !std::strcmp(argv[i + 1], "bf16"))
      low = DType::bf16;
    if (!std::strcmp(argv[i], "--steps")) steps = std::atoi(argv[i + 1]);
    if (!std::strcmp(argv[i], "--warmup")) warmup = std::atoi(argv[i + 1]);
  }
  if (size == "gpt2")
    measure<sizes::gpt2>(low, steps, warmup);
  else if (size == "tiny")
    measure<sizes::tiny>(low, steps, warmup);
  else if (size == "llama")
    measure<sizes::llama>(low, steps, warmup);
  else if (size == "llama_tiny")
    measure<sizes::llama_tiny>(low, steps, warmup);
  else
    throw Error("unknown size " + size + "; sizes.hpp has them", true);
}
