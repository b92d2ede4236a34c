// manual
/// Only the matrix products of a GPT-2 step, with the library's own product: the time that no step
/// can beat without a faster product. Prints {"seconds": [...]}, one number per repetition.
#include <tessera/op/cross_entropy.hpp>

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
  Gemm<float> gemm{shape, Cpu::gemm_workspace};
};

template <class Size>
std::vector<Product> products() {
  constexpr std::int64_t n = Size::sequences * Size::tokens, c = Size::width, v = Size::vocabulary;
  std::vector<Product> all;
  auto const linear = [&](std::int64_t in, std::int64_t out, int times, std::int64_t rows) {
    all.push_back({{.m = rows, .n = out, .k = in, .transpose_b = true}, times});
    all.push_back({{.m = rows, .n = in, .k = out}, times});
    all.push_back({{.m = out, .n = in, .k = rows, .transpose_a = true}, times});
  };
  linear(c, 3 * c, Size::layers, n);
  linear(c, c, Size::layers, n);
  linear(c, 4 * c, Size::layers, n);
  linear(4 * c, c, Size::layers, n);
  std::int64_t const chunk = loss_chunk(n, v);  // the head's products come in these pieces
  linear(c, v, int(n / chunk), chunk);
  return all;
}

template <class Size>
void measure(int steps, int warmup) {
  std::vector<Product> const all = products<Size>();
  std::size_t a = 0, b = 0, d = 0;
  for (Product const& p : all) {
    GemmShape const& s = p.shape;
    a = std::max(a, std::size_t(s.m * s.k)), b = std::max(b, std::size_t(s.k * s.n));
    d = std::max(d, std::size_t(s.m * s.n));
  }
  std::vector<float> left(a, 0.01f), right(b, 0.02f), out(d, 0.f);
  std::vector<std::byte> workspace(static_cast<std::size_t>(Cpu::gemm_workspace));
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
  std::printf("{\"seconds\": [%s]}\n", seconds.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  std::string size = "gpt2";
  int steps = 3, warmup = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--size")) size = argv[i + 1];
    if (!std::strcmp(argv[i], "--steps")) steps = std::atoi(argv[i + 1]);
    if (!std::strcmp(argv[i], "--warmup")) warmup = std::atoi(argv[i + 1]);
  }
  size == "tiny" ? measure<sizes::tiny>(steps, warmup) : measure<sizes::gpt2>(steps, warmup);
}
