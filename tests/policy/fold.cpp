#include <tessera/policy/fold.hpp>

#include <tessera/policy/accumulate.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/clip_norm.hpp>
#include <tessera/policy/frozen.hpp>
#include <tessera/policy/global_batch.hpp>
#include <tessera/policy/on.hpp>
#include <tessera/policy/precision.hpp>
#include <tessera/policy/reduce.hpp>
#include <tessera/policy/stochastic_rounding.hpp>
#include <tessera/policy/zero.hpp>

#include <doctest/doctest.h>

using namespace tessera;

namespace {

struct Momentum {
  static constexpr std::string_view name = "Momentum";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 1;
  static constexpr void set(Layout& layout) { layout.states = states; }
};
struct Rounding : Momentum {
  static constexpr bool rounds_stochastically = true;
};
static_assert(Policy<Momentum> && Optimizer<Momentum> && !Optimizer<Zero<1>> && !Policy<int>);

}  // namespace

TEST_CASE("policies fold into a layout in any order") {
  constexpr Layout a = fold<Batch<4, 128>, Accumulate<8>, Precision<Real>, Zero<3>, Reduce<Step>,
                            ClipNorm, On<Cpu>, Momentum>();
  constexpr Layout b =
      fold<Momentum, ClipNorm, Reduce<Step>, Zero<3>, Accumulate<8>, Batch<4, 128>>();
  static_assert(a.sequences == 4 && a.tokens == 128 && a.accumulate == 8 && a.zero == 3 && a.clip);
  static_assert(a.reduction() == Step && a.states == 1 && a.low == DType::real);
  static_assert(fold<Batch<1, 1>, Precision<bf16>, Momentum>().weight() == 2);
  static_assert(fold<Batch<1, 1>, Precision<bf16>, Momentum>().master() == 2);
  static_assert(fold<Batch<1, 1>, Precision<fp16>, Momentum>().weight() == 2);
  static_assert(fold<Batch<1, 1>, Precision<fp16>, Momentum>().master() == 4);
  constexpr Layout c = fold<StochasticRounding, Rounding, Precision<bf16>, Batch<1, 1>>();
  static_assert(c.weight() == 2 && c.master() == 0 && c.state() == 2);
  static_assert(a.state() == sizeof(Real));
  static_assert(b.sequences == 4 && b.tokens == 128 && b.accumulate == 8 && b.zero == 3 && b.clip);
}

TEST_CASE("gradients are reduced per step below stage 2, per micro-batch from there") {
  static_assert(fold<Batch<1, 1>, Momentum>().reduction() == Step);
  static_assert(fold<Batch<1, 1>, Zero<1>, Momentum>().reduction() == Step);
  static_assert(fold<Batch<1, 1>, Zero<2>, Momentum>().reduction() == Micro);
  static_assert(fold<Batch<1, 1>, Zero<3>, Momentum>().reduction() == Micro);
}

TEST_CASE("a global batch waits for the data degree") {
  constexpr Layout l = fold<Batch<4, 1>, GlobalBatch<32>, Momentum>();
  static_assert(micros_of(l, 2) == 4 && micros_of(l, 8) == 1 && micros_of(l, 3) == 0);
}

TEST_CASE("frozen patterns collect, and outlive the policies") {
  constexpr Layout l = fold<Frozen<"embed.*">, Batch<4, 1>, Frozen<"*.bias">, Momentum>();
  static_assert(l.frozen_patterns().size() == 2);
  CHECK(l.frozen_patterns()[0] == "embed.*");
  CHECK(l.frozen_patterns()[1] == "*.bias");
}
