/// The matrix products of a training step, one by one, beside the machine's peak:
///   gemm [tokens] [width] [vocabulary]
#include <tessera/backend/cpu/gemm.hpp>

#include "fastest.hpp"

#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace tessera;

namespace {

struct Row {
  char const* name;
  GemmShape shape;
};

double rate(GemmShape const& s) {
  CpuGemm<float> const product(s, 1_GiB);
  auto const floats = [](std::int64_t n) { return std::vector<float>(std::size_t(n), 0.5f); };
  auto const a = floats(s.m * s.k), b = floats(s.k * s.n), bias = floats(s.n);
  auto const add = floats(s.add ? s.m * s.n : 0);
  auto c = floats(s.m * s.n);
  std::vector<char> workspace(std::size_t(product.workspace()));
  return product.flops() / bench::fastest(0.5, [&] {
           product.run(a.data(), b.data(), c.data(), bias.data(), add.data(), workspace.data());
         });
}

}  // namespace

int main(int count, char** arguments) {
  auto const argument = [&](int i, int otherwise) {
    return std::int64_t(count > i ? std::atoi(arguments[i]) : otherwise);
  };
  std::int64_t const t = argument(1, 1024), c = argument(2, 768), v = argument(3, 50304);
  std::int64_t const block = v % 16 == 0 ? v / 16 : v;
  // y = x w^T + b; dx = dy w; dw = dy^T x
  auto const forward = [&](std::int64_t in, std::int64_t out) {
    return GemmShape{.m = t, .n = out, .k = in, .transpose_b = true, .bias = true};
  };
  auto const input = [&](std::int64_t in, std::int64_t out) {
    return GemmShape{.m = t, .n = in, .k = out};
  };
  auto const weight = [&](std::int64_t in, std::int64_t out) {
    return GemmShape{.m = out, .n = in, .k = t, .transpose_a = true};
  };
  GemmShape residual = forward(c, c), more = weight(c, c);
  residual.add = true;
  more.accumulate = true;
  Row const rows[] = {{"qkv", forward(c, 3 * c)},        {"qkv dx", input(c, 3 * c)},
                      {"qkv dw", weight(c, 3 * c)},      {"out", forward(c, c)},
                      {"out + residual", residual},      {"out dx", input(c, c)},
                      {"out dw", weight(c, c)},          {"out dw +=", more},
                      {"up", forward(c, 4 * c)},         {"up dx", input(c, 4 * c)},
                      {"up dw", weight(c, 4 * c)},       {"down", forward(4 * c, c)},
                      {"down dx", input(4 * c, c)},      {"down dw", weight(4 * c, c)},
                      {"head / 16", forward(c, block)},  {"head / 16 dx", input(c, block)},
                      {"head / 16 dw", weight(c, block)}};
  double const peak = gemm_peak(1);
  std::printf("%-16s %8.1f GFLOP/s\n", "1024^3", peak * 1e-9);
  for (Row const& row : rows) {
    double const found = rate(row.shape);
    std::printf("%-16s %8.1f GFLOP/s  %3.0f %%  %s\n", row.name, found * 1e-9, 100 * found / peak,
                row.shape.text().c_str());
  }
}
