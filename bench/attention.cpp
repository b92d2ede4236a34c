/// Causal attention forward and backward, useful operations only (half of the scores are masked),
/// beside the machine's peak for matrix products.
#include <tessera/backend/cpu/attention.hpp>
#include <tessera/backend/cpu/gemm.hpp>

#include "fastest.hpp"

#include <cstdio>
#include <vector>

using namespace tessera;

int main() {
  struct Sizes {
    int batch, tokens, heads, width;
  };
  double const peak = gemm_peak(1);
  std::printf("matrix products: %.1f GFLOP/s\n", peak * 1e-9);
  std::printf(
      "batch x tokens, heads x width   forward ms  GFLOP/s   backward ms  GFLOP/s   of peak\n");
  for (Sizes const s : {Sizes{4, 256, 12, 64}, Sizes{32, 128, 4, 64}, Sizes{1, 1024, 12, 64},
                        Sizes{1, 4096, 2, 64}, Sizes{2, 512, 4, 128}, Sizes{2, 512, 2, 256}}) {
    std::size_t const all = std::size_t(s.heads) * std::size_t(s.width),
                      rows = std::size_t(s.batch) * std::size_t(s.tokens);
    std::vector<float> qkv(rows * 3 * all), y(rows * all), dy(rows * all, 0.1f), dqkv(qkv.size()),
        log_sum(rows * std::size_t(s.heads));
    for (std::size_t i = 0; i < qkv.size(); ++i) qkv[i] = float(i * 7919 % 1001) / 1001 - 0.5f;
    double const forward = bench::fastest(0.5, [&] {
      Attention<float>::forward(s.batch, s.tokens, s.heads, s.width, qkv.data(), y.data(),
                                log_sum.data());
    });
    double const backward = bench::fastest(0.5, [&] {
      Attention<float>::backward(s.batch, s.tokens, s.heads, s.width, dy.data(), qkv.data(),
                                 y.data(), log_sum.data(), dqkv.data());
    });
    // Pairs of a query and a key it sees; a product costs 2 width operations a pair: two products
    // forward, five backward.
    double const pairs = 0.5 * s.tokens * (s.tokens + 1.0) * s.batch * s.heads;
    double const product = 2.0 * pairs * s.width;
    std::printf("%5d x %-6d %9d x %-6d %9.2f %9.1f %12.2f %9.1f %8.0f %%\n", s.batch, s.tokens,
                s.heads, s.width, forward * 1e3, 2 * product / forward * 1e-9, backward * 1e3,
                5 * product / backward * 1e-9, 100 * 7 * product / (forward + backward) / peak);
  }
}
