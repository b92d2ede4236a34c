// cuda
// manual
/// A training run on GPUs whose last rank dies or stops in its second step, for dead_gpu.sh:
///   dead_gpu kill|stop|throw|nccl|kernel|none
#include <tessera/tessera.hpp>

#include <cuda_double/api.hpp>
#include <cuda_double/nccl.hpp>

#include <signal.h>

#include <string>

using namespace tessera;

namespace {

struct Model {
  TokenAndPositionEmbedding<17, 8, 16> embed;
  Repeat<2, Gpt2Block<16, 2, 2>> blocks;
  TiedLmHead<17, 16> head;
};

struct Failing {
  std::string how{};
  bool last = false;

  std::int64_t samples(int) const { return 64; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t t = 0; t < in.size(); ++t) in[t] = out[t] = std::int32_t(t);
    if (!last || i < 6) return;
    if (how == "kill") raise(SIGKILL);
    if (how == "stop") raise(SIGSTOP);
    if (how == "throw") throw Error("data.bin ends early; check the disk");
    if (how == "nccl") cuda_double::fail_next("ncclSend", ncclRemoteError);
    if (how == "kernel") cuda_double::fail_next("cudaStreamQuery", cudaErrorIllegalAddress);
  }
};

}  // namespace

int main(int argc, char** argv) {
  int has = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &has);
  {
    World world(argc, argv);
    Failing const data{argv[1], world.rank() == world.size() - 1};
    Trainer<Model, Batch<1, 8>, AdamW, On<Cuda>, Zero<3>> trainer(world, {.shuffle = false});
    for (int i = 0; i < 4; ++i) trainer.step(data);
    if (world.root()) std::printf("four steps\n");
  }
  MPI_Finalize();
}
