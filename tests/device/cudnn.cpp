// cudnn
// ranks: 1 2 4
// timeout: 240
/// The engine with cuDNN's attention, on the doubles: the losses of the library's own kernels and
/// of cores, the same bits in every layout, and who computes what, in words.
#include <tessera/tessera.hpp>

#include <cuda_double/api.hpp>
#include <cuda_double/cudnn.hpp>

#include "trained.hpp"

using namespace tessera;
using test::close;
using test::same_bits;
using test::Trained;
using test::world;

namespace {

/// Attention of each kind in a block: all heads with keys of their own, grouped within a window,
/// and a kind that cuDNN is not asked, as rows hold documents.
struct Block {
  LayerNorm<32> norm1, norm2, norm3;
  SelfAttention<32, 4> all;
  SelfAttention<32, 4, 2, AttentionKind{.causal = false, .window = 5}> near;
  SelfAttention<32, 4, 4, AttentionKind{.separator = 3}> documents;
  constexpr Value operator()(Value x) const {
    auto const a = x + all(norm1(x));
    auto const b = a + near(norm2(a));
    return b + documents(norm3(b));
  }
};
struct Model {
  TokenAndPositionEmbedding<61, 12, 32> embed;
  Repeat<2, Block> blocks;
  TiedLmHead<61, 32> head;
};

template <class... Policies>
using Steps = Trainer<Model, Batch<2, 12>, AdamW, ClipNorm, Policies...>;
template <class... Policies>
Trained trained() {
  return test::after_steps<Steps<Policies...>>();
}

using Gpu = On<Cuda>;

/// Graphs that run in f().
template <class F>
long runs_in(F const& f) {
  long const before = cuda_double::graphs_run();
  f();
  return cuda_double::graphs_run() - before;
}

}  // namespace

TEST_CASE_TEMPLATE("losses as by other kernels, and the same bits in every layout", Low,
                   Precision<bf16>, Precision<fp16>) {
  Trained gpu;
  // Steps forward and back, and 13 samples in batches of 2 on every rank, forward.
  long const evaluated = (13 + 2 * world().size() - 1) / (2 * world().size());
  CHECK(runs_in([&] { gpu = trained<Gpu, Zero<0>, Low>(); }) ==
        2 * 2 * (2 * test::steps + evaluated));
  double const most = std::is_same_v<Low, Precision<bf16>> ? 0x1p-8 : 2e-3;
  close(gpu, trained<Zero<0>, Low>(), most);
  cuda_double::refuse_graphs("a test wants the library's own kernels");
  Trained own;
  CHECK(runs_in([&] { own = trained<Gpu, Zero<0>, Low>(); }) == 0);
  cuda_double::refuse_graphs("");
  close(gpu, own, most);
  CHECK(std::abs(gpu.norms[0] / own.norms[0] - 1) < most);  // of equal weights
  same_bits(gpu, trained<Gpu, Zero<0>, Low>());
  same_bits(gpu, trained<Gpu, Zero<0>, Low, Graphs>());
  same_bits(gpu, trained<Gpu, Zero<1>, Low>());
  same_bits(gpu, trained<Gpu, Zero<2>, Low, Graphs>());
  same_bits(gpu, trained<Gpu, Zero<3>, Low>());
  same_bits(gpu, trained<Gpu, Zero<0>, Low, Reduce<Micro>>());
}

TEST_CASE("what stays float stays with the library's own kernels") {
  CHECK(runs_in([] { close(trained<Gpu, Zero<0>>(), trained<Zero<0>>(), 1e-5); }) == 0);
}

TEST_CASE("delays of any stream change nothing") {
  Trained const plain = trained<Gpu, Zero<3>, Accumulate<2>, Precision<bf16>>();
  cuda_double::delay(200);
  same_bits(plain, trained<Gpu, Zero<3>, Accumulate<2>, Precision<bf16>>());
  cuda_double::delay(0);
}

TEST_CASE("a plan says who computes attention, and a run what cuDNN refused") {
  using Low = Steps<Gpu, Precision<bf16>, Zero<0>>;
  std::string const text = render(Low::plan({.data = 2}));
  CAPTURE(text);
  CHECK(text.find("computed, per rank and step, by\n"
                  "  blocks           4 x attention      cuDNN\n"
                  "  blocks           2 x attention      own kernels, as rows hold several "
                  "documents\n"
                  "  blocks           2 x attention_dx   own kernels, as rows hold several "
                  "documents\n"
                  "  blocks           4 x attention_dx   cuDNN\n") != std::string::npos);
  CHECK(render(Steps<Precision<bf16>, Zero<0>>::plan({})).find("computed") == std::string::npos);
  CHECK(Low(world()).engine().remarks().empty());
  cuda_double::want_workspace(64_MiB);
  Low refused(world());
  cuda_double::want_workspace(0);
  std::vector<std::string> const said = refused.engine().remarks();
  REQUIRE(said.size() == 4);
  CHECK(said[0].find("blocks: cuDNN refuses attention of 2 x 12 tokens, 4 heads (4 of keys) 8 "
                     "wide, so the library's own kernels do it, which are slower; every plan "
                     "wants more workspace, the least 671") == 0);
}

TEST_CASE("a plan counts the workspace of cuDNN's graphs") {
  AttentionTask const back{{2, 12, 4, 4, 8}, DType::bf16, true};
  CHECK(Steps<Gpu, Precision<bf16>>::facts().workspace >= CudaAttention::workspace(back));
  CHECK(CudaAttention::workspace(back) > OwnAttention::workspace(back));
}
