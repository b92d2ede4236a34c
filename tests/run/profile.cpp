// ranks: 1 2
// timeout: 120
#include <tessera/run/profile.hpp>

#include "small.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

template <class... Policies>
using Run = Trainer<Small, AdamW, ClipNorm, Batch<2, 8>, Accumulate<2>, Policies...>;

template <class... Policies>
void counts_what_the_plan_says() {
  Run<Policies...> trainer(world(), {}), unwatched(world(), {});
  Profile const profile = measure(trainer, Counting{});
  CHECK(trainer.steps() == 1);
  Plan const& p = trainer.plan();

  double flops = 0, seconds = 0;
  std::int64_t rows = 0;
  for (Work const& w : profile.work()) {
    CAPTURE(w.name);
    CHECK(w.runs > 0);
    CHECK(w.seconds >= 0);
    CHECK(w.floor({.flops = 1e9, .low_flops = 1e9, .bytes = 1e9}) ==
          std::max(w.bytes, w.flops) / 1e9);
    flops += w.flops, seconds += w.seconds;
    if (w.name.starts_with("all ")) rows += w.runs;
  }
  CHECK(flops * p.mesh.data == doctest::Approx(trainer.engine().flops_per_step()).epsilon(1e-12));
  CHECK(seconds <= profile.seconds());
  CHECK(seconds > 0);
  std::int64_t planned = 0;
  for (Row const& r : p.rows)
    if (r.op != Do::forward && r.op != Do::backward) planned += executions(p, r);
  CHECK(rows == planned);

  // A watched step is a step.
  unwatched.step(Counting{});
  for (std::string const& path : trainer.paths())
    CHECK(same_bits(trainer.parameter(path), unwatched.parameter(path)));
}

}  // namespace

TEST_CASE("every op and every row of a step is in its profile") {
  counts_what_the_plan_says<Zero<0>>();
  counts_what_the_plan_says<Zero<3>, Precision<bf16>>();
}
TEST_CASE("the largest comes first, and the last line names the limits") {
  Run<Precision<bf16>> trainer(world(), {});
  Profile const profile = measure(trainer, Counting{});
  std::string const text = profile.text({.flops = 2e9, .low_flops = 4e9, .bytes = 1e9});
  double most = 0;
  std::string largest;
  for (Work const& w : profile.work())
    if (w.seconds > most) most = w.seconds, largest = w.name;
  CHECK(text.find(largest) < text.find('\n', text.find('\n') + 1));
  CHECK(text.ends_with("limits: 2 GFLOP/s, 4 in 16 bits, 1.0 GB/s\n"));
  MachineLimits const m = MachineLimits::measure(DType::bf16);
  CHECK(m.flops > 0);
  CHECK(m.low_flops > 0);
  CHECK(m.bytes > 0);
}
