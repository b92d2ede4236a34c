/// Steps of a model that is small enough for a sanitizer, on a GPU's double.
#pragma once

#include <tessera/tessera.hpp>

#include <iostream>

namespace tessera::test {

struct Tiny {
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

/// Two steps; rank 0 prints a loss a line.
template <class... Policies>
void train(World& world) {
  Trainer<Tiny, Batch<1, 6>, AdamW, ClipNorm, On<Cuda>, Policies...> trainer(
      world, {.learning_rate = 1e-2, .clip_norm = 0.5});
  for (int step = 0; step < 2; ++step) {
    Report const r = trainer.step(Made{});
    if (world.root()) std::cout << r.loss << '\n';
  }
}

/// Six losses: of whole layers that travel, of graphs, of 16 bits.
inline void train(int argc, char** argv) {
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

}  // namespace tessera::test
