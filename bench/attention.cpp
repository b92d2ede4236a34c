/// Attention forward and backward, useful operations only (scores that no query sees do not count),
/// beside the machine's peak for matrix products. Operands in float, then in bf16.
#include <tessera/backend/cpu/attention.hpp>
#include <tessera/backend/cpu/gemm.hpp>

#include "fastest.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace tessera;

namespace {

struct Timed {
  double forward = 0, backward = 0;  // seconds, the fastest
  double y = 0, dqkv = 0;            // lengths: peers/attention.py must find the same
};

template <class T>
double length(std::vector<T> const& values) {
  double squares = 0;
  for (T const v : values) squares += double(float(v)) * double(float(v));
  return std::sqrt(squares);
}

template <class T>
Timed measure(AttentionShape const& s) {
  DType const type = dtype_of<T>;
  std::size_t const rows = std::size_t(s.batch * s.tokens), all = std::size_t(s.all()),
                    packed = std::size_t(s.packed());
  std::vector<T> qkv(rows * packed), y(rows * all), dy(rows * all, T(0.1f)), dqkv(qkv.size());
  std::vector<float> log_sum(rows * std::size_t(s.heads));
  std::vector<std::byte> workspace(std::size_t(attention_workspace(s, type)));
  for (std::size_t i = 0; i < qkv.size(); ++i) qkv[i] = T(float(i * 7919 % 1001) / 1001 - 0.5f);
  AttentionOperands const x{qkv.data(), nullptr, y.data(), log_sum.data()};
  Timed t;
  t.forward = bench::fastest(0.5, [&] { attention_forward(s, type, x, workspace.data()); });
  t.backward = bench::fastest(
      0.5, [&] { attention_backward(s, type, x, dy.data(), dqkv.data(), workspace.data()); });
  t.y = length(y), t.dqkv = length(dqkv);
  return t;
}

void print(AttentionShape const& s, bool low, double peak) {
  Timed const t = low ? measure<bf16>(s) : measure<float>(s);
  // A product costs 2 width operations a pair: two products forward, five backward.
  double const product = 2.0 * s.pairs() * double(s.batch * s.all());
  std::printf("%5d x %-6d %6d / %-2d x %-5d %7d %5s %9.2f %9.1f %12.2f %9.1f %8.0f %%\n",
              int(s.batch), int(s.tokens), int(s.heads), int(s.kv_heads), int(s.width),
              int(s.window), low ? "bf16" : "float", t.forward * 1e3,
              2 * product / t.forward * 1e-9, t.backward * 1e3, 5 * product / t.backward * 1e-9,
              100 * 7 * product / (t.forward + t.backward) / peak);
}

/// attention BATCH TOKENS HEADS WIDTH float|bf16: one line of JSON, for attention.py.
int line(char** word) {
  int const heads = std::atoi(word[3]);
  AttentionShape const s{std::atoi(word[1]), std::atoi(word[2]), heads, heads, std::atoi(word[4])};
  Timed const t = !std::strcmp(word[5], "bf16") ? measure<bf16>(s) : measure<float>(s);
  std::printf("{\"forward\": %.6e, \"backward\": %.6e, \"y\": %.6e, \"dqkv\": %.6e}\n", t.forward,
              t.backward, t.y, t.dqkv);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 6) return line(argv);
  double const peak = gemm_peak(1);
  std::printf("matrix products: %.1f GFLOP/s\n", peak * 1e-9);
  std::printf(
      "batch x tokens   heads / kv x width  window  type  forward ms  GFLOP/s  backward ms  GFLOP/s"
      "   of peak\n");
  for (AttentionShape const s :
       {AttentionShape{4, 256, 12, 12, 64}, AttentionShape{32, 128, 4, 4, 64},
        AttentionShape{1, 1024, 12, 12, 64}, AttentionShape{2, 512, 4, 4, 128},
        AttentionShape{2, 512, 2, 2, 256}, AttentionShape{1, 1024, 8, 2, 64},
        AttentionShape{1, 4096, 4, 4, 64}, AttentionShape{1, 4096, 4, 4, 64, true, 512},
        AttentionShape{1, 16384, 2, 2, 64}}) {
    print(s, false, peak);
    print(s, true, peak);
  }
}
