/// A whole trainer on a GPU, linked with everything it calls: resources.py builds it. Where there
/// is no GPU, a run says so in one sentence.
#include <tessera/tessera.hpp>

#include <cstdio>

using namespace tessera;

namespace {

struct Counting {
  std::int64_t samples(int) const { return 64; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t t = 0; t < in.size(); ++t)
      in[t] = std::int32_t((i + std::int64_t(t)) % 256), out[t] = (in[t] + 1) % 256;
  }
};

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  Trainer<Gpt2<2, 64, 2, 256, 32>, Batch<2, 32>, AdamW, ClipNorm, Precision<bf16>, Zero<3>,
          On<Cuda>, Graphs>
      trainer(world, {.learning_rate = 1e-3});
  for (int i = 0; i < 3; ++i) std::printf("%.6f\n", trainer.step(Counting{}).loss);
}
