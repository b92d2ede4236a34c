// cuda
// manual
/// What races.sh builds with a sanitizer and runs: a race of streams is one of threads, there.
///
///   races train     steps of a small model, under mpirun
///   races waits     two streams that an event orders
///   races no-wait   the same without the wait for it
#include <tessera/tessera.hpp>

#include <cstring>
#include <iostream>

using namespace tessera;

namespace {

struct Model {
  TokenAndPositionEmbedding<31, 6, 8> embed;
  Repeat<1, Gpt2Block<8, 2, 2>> blocks;
  TiedLmHead<31, 8> head;
};

struct Made {
  std::int64_t samples(int) const { return 64; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t t = 0; t < in.size(); ++t) {
      in[t] = std::int32_t((i * 13 + std::int64_t(t) * 7) % 31);
      out[t] = std::int32_t((i * 13 + std::int64_t(t) * 7 + 3) % 31);
    }
  }
};

template <class... Policies>
void train(World& world) {
  Trainer<Model, Batch<1, 6>, AdamW, ClipNorm, On<Cuda>, Policies...> trainer(
      world, {.learning_rate = 1e-2, .clip_norm = 0.5});
  for (int step = 0; step < 2; ++step) {
    Report const r = trainer.step(Made{});
    if (world.root()) std::cout << r.loss << '\n';
  }
}

struct Fill {
  int* to;
  void operator()() const { to[cuda::thread()] = 1; }
};

void two_streams(bool wait) {
  cuda::OwnStream const first(0), second(0);
  cuda::DeviceMemory const numbers(128 * sizeof(int), first.get());
  cuda::PinnedMemory const seen(128 * sizeof(int));
  cuda::Event written;
  cuda::check(cudaStreamSynchronize(first.get()), "cudaStreamSynchronize");
  cuda::launch<128>(first.get(), 1, Fill{reinterpret_cast<int*>(numbers.get())});
  written.record(first.get());
  if (wait) written.hold(second.get());
  cuda::check(cudaMemcpyAsync(seen.get(), numbers.get(), 128 * sizeof(int), cudaMemcpyDeviceToHost,
                              second.get()),
              "cudaMemcpyAsync");
  cuda::check(cudaStreamSynchronize(second.get()), "cudaStreamSynchronize");
  cuda::check(cudaStreamSynchronize(first.get()), "cudaStreamSynchronize");
}

}  // namespace

int main(int argc, char** argv) {
  std::string const what = argc > 1 ? argv[1] : "";
  if (what == "waits" || what == "no-wait") {
    two_streams(what == "waits");
    return 0;
  }
  int threads = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &threads);
  {
    World world(argc, argv);
    train<Accumulate<2>, Zero<3>>(world);
    train<Accumulate<2>, Zero<1>, Reduce<Micro>, Graphs>(world);
    train<Zero<2>, Precision<bf16>>(world);
  }
  MPI_Finalize();
}
