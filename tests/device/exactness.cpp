// cuda
// ranks: 1 2 4
// timeout: 240
/// The engine on a GPU's double beside the engine on cores: every layout, in every precision.
#include <tessera/tessera.hpp>

#include <cuda_double/api.hpp>

#include "trained.hpp"

using namespace tessera;
using test::close;
using test::same_bits;
using test::Trained;
using test::world;

namespace {

struct Model {
  TokenAndPositionEmbedding<61, 12, 24> embed;
  Repeat<3, Gpt2Block<24, 2, 3>> blocks;
  TiedLmHead<61, 24> head;
};

template <class... Policies>
Trained trained() {
  return test::after_steps<Trainer<Model, Batch<2, 12>, AdamW, ClipNorm, Policies...>>();
}

using Gpu = On<Cuda>;

}  // namespace

TEST_CASE("one micro-batch: the losses of cores, and the same bits in every layout") {
  Trained const gpu = trained<Gpu, Zero<0>>();
  close(gpu, trained<Zero<0>>(), 1e-5);
  same_bits(gpu, trained<Gpu, Zero<0>>());
  same_bits(gpu, trained<Gpu, Zero<0>, Graphs>());
  same_bits(gpu, trained<Gpu, Zero<1>>());
  same_bits(gpu, trained<Gpu, Zero<2>>());
  same_bits(gpu, trained<Gpu, Zero<3>>());
  same_bits(gpu, trained<Gpu, Zero<3>, Graphs>());
  same_bits(gpu, trained<Gpu, Zero<0>, Reduce<Micro>>());
  same_bits(gpu, trained<Gpu, Zero<3>, Reduce<Step>>());
}

TEST_CASE("a plan counts the workspace of its own backend") {
  CHECK(Trainer<Model, Batch<2, 12>, AdamW>::facts().workspace < Cuda::gemm_workspace);
  CHECK(Trainer<Model, Batch<2, 12>, AdamW, Gpu>::facts().workspace >= Cuda::gemm_workspace);
}

TEST_CASE("three micro-batches: within each Reduce mode") {
  Trained const step = trained<Gpu, Accumulate<3>, Zero<0>, Reduce<Step>>();
  close(step, trained<Accumulate<3>, Zero<0>, Reduce<Step>>(), 1e-5);
  same_bits(step, trained<Gpu, Accumulate<3>, Zero<1>, Reduce<Step>, Graphs>());
  same_bits(step, trained<Gpu, Accumulate<3>, Zero<3>, Reduce<Step>>());
  Trained const micro = trained<Gpu, Accumulate<3>, Zero<0>, Reduce<Micro>>();
  same_bits(micro, trained<Gpu, Accumulate<3>, Zero<2>, Reduce<Micro>, Graphs>());
  same_bits(micro, trained<Gpu, Accumulate<3>, Zero<3>, Reduce<Micro>>());
}

TEST_CASE("16-bit storage") {
  Trained const bf = trained<Gpu, Zero<0>, Precision<bf16>>();
  close(bf, trained<Zero<0>, Precision<bf16>>(), 2e-3);
  same_bits(bf, trained<Gpu, Zero<3>, Precision<bf16>>());
  Trained const fp = trained<Gpu, Zero<0>, Precision<fp16>>();
  close(fp, trained<Zero<0>, Precision<fp16>>(), 2e-3);
  same_bits(fp, trained<Gpu, Zero<2>, Precision<fp16>, Graphs>());
  Trained const rounded = trained<Gpu, Zero<0>, Precision<bf16>, StochasticRounding>();
  close(rounded, trained<Zero<0>, Precision<bf16>, StochasticRounding>(), 2e-3);
  same_bits(rounded, trained<Gpu, Zero<3>, Precision<bf16>, StochasticRounding>());
}

TEST_CASE("NCCL's own reduce: the losses of cores, and the same bits in every run") {
  Trained const step = trained<Gpu, Zero<1>, UnorderedReduce>();
  close(step, trained<Zero<1>>(), 1e-5);
  same_bits(step, trained<Gpu, Zero<1>, UnorderedReduce>());
  same_bits(step, trained<Gpu, Zero<0>, UnorderedReduce, Graphs>());
  // Two ranks have one sum, in whatever order.
  bool const same = step.values == trained<Gpu, Zero<1>>().values;
  CHECK(same == (world().size() < 3));
  Trained const micro = trained<Gpu, Accumulate<3>, Zero<3>, UnorderedReduce>();
  close(micro, trained<Accumulate<3>, Zero<3>>(), 1e-5);
  same_bits(micro, trained<Gpu, Accumulate<3>, Zero<3>, UnorderedReduce>());
  same_bits(micro, trained<Gpu, Accumulate<3>, Zero<0>, Reduce<Micro>, UnorderedReduce>());
}

TEST_CASE("Strict") {
  Trained const strict = trained<Gpu, Strict<>, Accumulate<2>, Zero<0>>();
  close(strict, trained<Strict<>, Accumulate<2>, Zero<0>>(), 1e-5);
  same_bits(strict, trained<Gpu, Strict<>, Accumulate<2>, Zero<3>>());
}

TEST_CASE("delays of any stream change nothing") {
  Trained const plain = trained<Gpu, Zero<3>, Accumulate<2>>();
  cuda_double::delay(200);
  same_bits(plain, trained<Gpu, Zero<3>, Accumulate<2>>());
  same_bits(plain, trained<Gpu, Zero<2>, Accumulate<2>, Reduce<Micro>, Graphs>());
  cuda_double::delay(0);
}
