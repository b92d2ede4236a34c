// ranks: 1 2 4
/// The memory that a run touches against what the plan says, buffer by buffer and to the byte.
#include "small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// Every flat buffer is a multiple of 1024 elements, which are 256 for each of four ranks: so that
/// none of them holds padding only.
template <int Width>
struct Block {
  LayerNorm<Width> norm;
  CausalSelfAttention<Width, 4> attention;
  constexpr Value operator()(Value x) const { return x + attention(norm(x)); }
};
struct Even {
  TokenAndPositionEmbedding<32, 8, 512> embed;
  Repeat<2, Block<512>> blocks;
  TiedLmHead<32, 512> head;
};

/// Bytes of a buffer up to its last one that is not zero (every arena begins zeroed), in units of
/// the alignment of buffers.
Bytes touched(Memory& memory, Family f) {
  std::byte const* const at = memory.at(f);
  Bytes n = memory.place().of(f).bytes;
  while (n > 0 && at[n - 1] == std::byte{0}) --n;
  return aligned(n);
}

template <class Optimizer, class... Policies>
void check_arena() {
  Trainer<Even, Batch<2, 8>, Optimizer, Policies...> trainer(world());
  for (int i = 0; i < 2; ++i) trainer.step(Counting{});
  MPI_Barrier(world().comm());

  Memory& memory = trainer.engine().memory();
  Bytes sum = 0;
  for (int f = 0; f < families; ++f) {
    Bytes const planned = memory.place().of(Family(f)).bytes;
    Bytes found = touched(memory, Family(f));
    if (Family(f) == Family::workspace)  // matrices are dealt out: not every rank has the largest
      MPI_Allreduce(MPI_IN_PLACE, &found, 1, MPI_INT64_T, MPI_MAX, world().comm());
    INFO("buffer " << f << " of Zero<" << trainer.plan().layout.zero << ">");
    CHECK(found == planned);
    bool const shared = memory.place().of(Family(f)).arena == Arena::domain;
    sum += shared ? found / trainer.plan().mesh.domain : found;
  }
  CHECK(sum == peak(trainer.plan()));
  MPI_Barrier(world().comm());
}

}  // namespace

TEST_CASE("a run fills every buffer of its plan to the last byte") {
  check_arena<AdamW, Zero<0>>();
  check_arena<AdamW, Zero<0>, Accumulate<2>, Reduce<Micro>>();
  check_arena<AdamW, Zero<1>, Accumulate<2>>();
  check_arena<AdamW, Zero<2>>();
  check_arena<AdamW, Zero<3>>();
  check_arena<AdamW, Zero<3>, Accumulate<2>, Reduce<Step>>();
  check_arena<AdamW, Strict<>, Zero<0>>();
  check_arena<AdamW, Strict<2>, Accumulate<4>, Zero<3>>();
  check_arena<Lamb, Zero<0>>();
  check_arena<Lamb, Zero<3>>();
  check_arena<Muon, Zero<0>>();
  check_arena<Muon, Zero<1>>();
  check_arena<Muon, Zero<3>>();
  check_arena<AdamW, Zero<0>, Precision<bf16>, KeepFloat<"blocks.*">>();
  check_arena<AdamW, Zero<3>, Precision<bf16>, KeepFloat<"blocks.*">>();
  check_arena<AdamW, Zero<0>, Precision<bf16>, StochasticRounding>();
  check_arena<AdamW, Zero<1>, Precision<bf16>, StochasticRounding>();
  check_arena<AdamW, Zero<3>, Precision<bf16>, StochasticRounding>();
}
