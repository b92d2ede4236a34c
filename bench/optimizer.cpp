// manual
/// One AdamW step over the parameters of a GPT-2, beside a pass over memory that reads and writes
/// as much and computes next to nothing: the least that such a step can take here.
///   optimizer [ELEMENTS]       one line of JSON, for optimizer.py: seconds, the fastest
#include <tessera/backend/cpu/team.hpp>
#include <tessera/optimizer/adamw.hpp>

#include "fastest.hpp"

#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace tessera;

namespace {

/// w, m, v += g: four streams are read, three written.
struct FourReadsThreeWrites {
  float *w, *m, *v;
  float const* g;
  std::int64_t n;

  std::int64_t rows() const { return Chunk::count(n); }
  template <Lane L>
  void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, n);
    float *const x = w + chunk.first, *const y = m + chunk.first, *const z = v + chunk.first;
    float const* const by = g + chunk.first;
    lane.each(chunk.size, [=](std::int64_t i) { x[i] += by[i], y[i] += by[i], z[i] += by[i]; });
  }
  using Chunk = kernel::Chunk;
};

}  // namespace

int main(int argc, char** argv) {
  std::int64_t const n = argc > 1 ? std::atoll(argv[1]) : 124'439'808;
  if (n < 1) {
    std::fprintf(stderr, "optimizer: ELEMENTS begins at 1\n");
    return 2;
  }
  auto const size = static_cast<std::size_t>(n);
  std::vector<float> w(size, 0.5f), g(size, 1e-3f), m(size), v(size);
  std::vector<bf16> low(size, bf16(0.5f));
  std::vector<std::int16_t> remainder(size);
  StepValues const values{.rate = 3e-4, .decay = 0.1, .gradient_scale = 0.5, .step = 10};
  StepRange range{
      .weights = w.data(), .gradients = g.data(), .states = {m.data(), v.data()}, .elements = n};
  double const adamw = bench::fastest(2, [&] { AdamW::step(CpuTeam{}, range, values); });
  range.low = DType::bf16, range.weights = low.data(), range.master = remainder.data();
  double const split = bench::fastest(2, [&] { AdamW::step(CpuTeam{}, range, values); });
  std::vector<bf16> m2(size), v2(size);
  range.master = nullptr, range.stochastic = true;
  range.rounded_states = {m2.data(), v2.data()}, range.noise.key = RandomKey(1, "w");
  double const rounded = bench::fastest(2, [&] { AdamW::step(CpuTeam{}, range, values); });
  double const stream = bench::fastest(2, [&] {
    CpuTeam{}.run(FourReadsThreeWrites{w.data(), m.data(), v.data(), g.data(), n});
  });
  std::printf(
      "{\"times\": {\"AdamW\": %.6e, \"AdamW, bf16\": %.6e, \"AdamW, bf16 alone\": %.6e, "
      "\"stream\": %.6e}}\n",
      adamw, split, rounded, stream);
}
