// ranks: 1 2 4
// timeout: 120
/// Precision<fp16>: a step whose scaled gradient overflows is skipped, by all ranks alike, and
/// leaves nothing behind.
#include "run/small.hpp"

#include <limits>
#include <random>

namespace tessera::test {

/// What the next call of a kernel of Shift leaves in one element, at most once.
struct Blow {
  enum Place { nowhere, forward, input_gradient, weight_gradient } place = nowhere;
  std::int64_t element = 0;
  Real value = 0;

  void strike(Place here, View<Real> x) {
    if (place != here) return;
    x[element % x.count()] = value;
    place = nowhere;
  }
};
inline Blow blow;

/// y[r, :] = x[r, :] + shift, but for the blow.
struct Shift {
  static constexpr std::string_view name = "shift";
  static constexpr auto adjoint = by_kernels<0, 1>;
  static constexpr Shape shape(Shape x, Shape) { return x; }
};

}  // namespace tessera::test

template <>
struct tessera::kernels<tessera::test::Shift, tessera::Cpu> {
  static void run(Call const&, View<Real> y, View<Real const> x, View<Real const> shift) {
    for (std::int64_t i = 0; i < x.count(); ++i) y[i] = x[i] + shift[i % shift.count()];
    test::blow.strike(test::Blow::forward, y);
  }
  static void backward(Wrt<0>, Call const&, View<Real> dx, View<Real const> dy, View<Real const>,
                       View<Real const>) {
    for (std::int64_t i = 0; i < dy.count(); ++i) dx[i] = dy[i];
    test::blow.strike(test::Blow::input_gradient, dx);
  }
  static void backward(Wrt<1>, Call const&, View<Real> dshift, View<Real const> dy,
                       View<Real const>, View<Real const>) {
    for (std::int64_t c = 0; c < dshift.count(); ++c) dshift[c] = 0;
    for (std::int64_t i = 0; i < dy.count(); ++i) dshift[i % dshift.count()] += dy[i];
    test::blow.strike(test::Blow::weight_gradient, dshift);
  }
};

namespace {

using namespace tessera;
using namespace tessera::test;

struct Shifting {
  LayerNorm<32> norm;
  Mlp<32> mlp;
  Param<32> shift;
  constexpr Value operator()(Value x) const { return x + apply<Shift>(mlp(norm(x)), shift); }
};
struct Model {
  TokenAndPositionEmbedding<17, 8, 32> embed;
  Repeat<2, Shifting> blocks;
  TiedLmHead<17, 32> head;
};

template <class... Policies>
using Half = Trainer<Model, AdamW, ClipNorm, Batch<1, 8>, Precision<fp16>, Policies...>;

Options with(LossScale const& fp16) {
  return {.learning_rate = 3e-3,
          .schedule = warmup_cosine(10, 200, 0.1),
          .weight_decay = 0.1,
          .shuffle = false,
          .fp16 = fp16};
}

using Values = std::vector<std::vector<Real>>;
template <class T>
Values everything(T& trainer) {
  Values all;
  for (std::string const& path : trainer.paths()) {
    all.push_back(trainer.parameter(path));
    for (std::string_view const state : {"exp_avg", "exp_avg_sq"})
      all.push_back(trainer.state(state, path));
  }
  return all;
}
bool same(Values const& a, Values const& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!same_bits(a[i], b[i])) return false;
  return a.size() == b.size();
}
bool finite(Values const& values) {
  for (std::vector<Real> const& v : values)
    for (Real x : v)
      if (!std::isfinite(x)) return false;
  return true;
}

/// What two runs must have in common; losses of skipped steps need not be numbers.
struct Course {
  std::vector<bool> skipped;
  std::vector<double> scales, rates, losses, norms;
  Values end;

  void add(Report const& r) {
    skipped.push_back(r.skipped), scales.push_back(r.loss_scale), rates.push_back(r.learning_rate);
    if (r.skipped) return;
    losses.push_back(r.loss), norms.push_back(r.gradient_norm);
  }
  std::int64_t skips() const { return std::count(skipped.begin(), skipped.end(), true); }
};
bool same(Course const& a, Course const& b) {
  return a.skipped == b.skipped && a.scales == b.scales && a.rates == b.rates &&
         a.losses == b.losses && a.norms == b.norms && same(a.end, b.end);
}

/// The blows of a run: in a quarter of its steps, anywhere, infinite or not a number, on one rank.
struct Blows {
  std::mt19937_64 random{7};

  bool next() {
    blow = {};
    if (random() % 4) return false;
    constexpr Real infinite = std::numeric_limits<Real>::infinity();
    Real const values[] = {infinite, -infinite, std::numeric_limits<Real>::quiet_NaN()};
    Blow const chosen{Blow::Place(1 + random() % 3), std::int64_t(random() % 1000),
                      values[random() % 3]};
    if (random() % std::uint64_t(world().size()) == std::uint64_t(world().rank())) blow = chosen;
    return true;
  }
};

template <class... Policies>
Course run_with_blows(LossScale const& fp16, int steps) {
  Half<Policies...> trainer(world(), with(fp16));
  Course course;
  Blows blows;
  int unskipped = 0;
  for (int i = 0; i < steps; ++i) {
    bool const faulty = blows.next();
    course.add(trainer.step(Counting{1 << 20}));
    unskipped += faulty && !course.skipped.back();
    if (i % 50 == 0) CHECK(finite(everything(trainer)));
  }
  CHECK(unskipped == 0);
  course.end = everything(trainer);
  return course;
}

/// The batches of a run that it did not skip.
struct Without : Counting {
  std::vector<std::int64_t> kept;  // steps
  std::int64_t global = 1;         // sequences of each
  std::int64_t samples(int) const { return std::int64_t(kept.size()) * global; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    Counting::sample(kept[std::size_t(index / global)] * global + index % global, in, out);
  }
};

TEST_CASE("1000 steps with infinities anywhere end where the run without those steps ends") {
  LossScale const fixed{.loss_scale = 1024};
  Course const faulty = run_with_blows<Zero<0>>(fixed, 1000);
  CHECK(finite(faulty.end));
  CHECK(faulty.skips() > 180);  // a quarter
  Without data;
  data.global = world().size();
  for (std::size_t i = 0; i < faulty.skipped.size(); ++i)
    if (!faulty.skipped[i]) data.kept.push_back(std::int64_t(i));
  Half<Zero<0>> trainer(world(), with(fixed));
  Course clean;
  for (std::size_t i = 0; i < data.kept.size(); ++i) clean.add(trainer.step(data));
  CHECK(clean.skips() == 0);
  CHECK(clean.losses == faulty.losses);
  CHECK(clean.norms == faulty.norms);
  CHECK(same(everything(trainer), faulty.end));
}

TEST_CASE("infinities on one rank make every rank skip, whatever is sharded; the scale follows") {
  LossScale const dynamic{.initial_scale_power = 10, .loss_scale_window = 3};
  Course const whole = run_with_blows<Zero<0>>(dynamic, 150);
  CHECK(finite(whole.end));
  LossScaler expected = LossScaler::of(dynamic);
  for (std::size_t i = 0; i < whole.skipped.size(); ++i) {
    REQUIRE(whole.scales[i] == expected.scale);
    expected.update(dynamic, whole.skipped[i]);
  }
  CHECK(*std::max_element(whole.scales.begin(), whole.scales.end()) > 1024);
  CHECK(*std::min_element(whole.scales.begin(), whole.scales.end()) < 1024);
  CHECK(same(whole, run_with_blows<Zero<1>>(dynamic, 150)));
  CHECK(same(whole, run_with_blows<Zero<2>>(dynamic, 150)));
  CHECK(same(whole, run_with_blows<Zero<3>>(dynamic, 150)));
  CHECK(same(run_with_blows<Zero<1>, Accumulate<2>, Reduce<Micro>>(dynamic, 60),
             run_with_blows<Zero<3>, Accumulate<2>>(dynamic, 60)));
}

template <class... Policies>
Course from_a_huge_scale() {
  Half<Policies...> trainer(world(), with({.initial_scale_power = 40}));
  Course course;
  Values before = everything(trainer);
  for (int i = 0; i < 30; ++i) {
    std::int64_t const updates = trainer.engine().updates();
    Report const r = trainer.step(Counting{});
    course.add(r);
    Values after = everything(trainer);
    CHECK(r.step == i + 1);
    CHECK(same(before, after) == r.skipped);
    CHECK(trainer.engine().updates() == updates + !r.skipped);
    CHECK(std::isfinite(r.loss));
    CHECK(std::isfinite(r.gradient_norm) == !r.skipped);
    before = std::move(after);
  }
  course.end = std::move(before);
  return course;
}

TEST_CASE("a scale that is far too large falls until a step fits; skipped steps change nothing") {
  Course const whole = from_a_huge_scale<Zero<0>>();
  auto const first = std::find(whole.skipped.begin(), whole.skipped.end(), false);
  REQUIRE(first != whole.skipped.end());
  CHECK(first - whole.skipped.begin() == whole.skips());  // and from there on all fit
  CHECK(whole.skips() > 10);
  // The schedule waits for the first update, and the hysteresis of 2 costs one skipped step.
  CHECK(whole.rates[std::size_t(whole.skips())] == whole.rates[0]);
  CHECK(whole.rates[std::size_t(whole.skips()) + 1] == 2 * whole.rates[0]);
  CHECK(whole.scales[std::size_t(whole.skips())] == std::ldexp(1.0, int(41 - whole.skips())));
  CHECK(same(whole, from_a_huge_scale<Zero<1>>()));
  CHECK(same(whole, from_a_huge_scale<Zero<2>>()));
  CHECK(same(whole, from_a_huge_scale<Zero<3>>()));
}

TEST_CASE("a power of two as scale changes no bit of a gradient that it neither saves nor breaks") {
  auto const gradients = [](double scale) {
    Half<Zero<0>> trainer(world(), with({.loss_scale = scale}));
    Report const r = trainer.step(Counting{});
    CHECK(r.loss_scale == scale);
    Values all{{Real(r.loss), Real(r.gradient_norm)}};
    for (std::string const& path : trainer.paths()) all.push_back(trainer.gradient(path));
    return all;
  };
  CHECK(same(gradients(4096), gradients(8192)));
  CHECK(!same(gradients(4096), gradients(1.0 / (1 << 20))));  // small gradients vanish
}

TEST_CASE("at the least scale an overflow ends the run and names step, segment and node") {
  Half<Zero<3>> trainer(world(), with({.initial_scale_power = 2, .hysteresis = 1}));
  std::string const path = "blocks.1.mlp.up.weight";
  std::vector<Real> const good = trainer.parameter(path);
  std::vector<Real> changed = good;
  changed[5] = 1e6f;  // beyond fp16's largest
  trainer.set_parameter(path, changed);
  Values const before = everything(trainer);
  for (double const scale : {4.0, 2.0}) {
    Report const r = trainer.step(Counting{});
    CHECK(r.skipped);
    CHECK(r.loss_scale == scale);
  }
  std::string const said = refusal([&] { trainer.step(Counting{}); });
  INFO(said);
  CHECK(is_one_sentence(said));
  for (char const* part : {"step 3:", "blocks.1 forward, node %", "(matmul_bias)",
                           "the loss scale is at its min_loss_scale", "lower the learning rate"})
    CHECK(contains(said, part));
  CHECK(trainer.steps() == 2);
  CHECK(same(before, everything(trainer)));
  trainer.set_parameter(path, good);
  Report const r = trainer.step(Counting{});  // and it goes on
  CHECK(r.step == 3);
  CHECK(r.loss_scale == 1);
  CHECK_FALSE(r.skipped);
}

TEST_CASE("a batch without targets is no overflow") {
  struct Nothing : Counting {
    void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
      Counting::sample(i, in, out);
      std::fill(out.begin(), out.end(), ignored);
    }
  };
  Half<Zero<0>> trainer(world(), with({}));
  CHECK(contains(refusal([&] { trainer.step(Nothing{}); }), "every target"));
}

TEST_CASE("a run goes on bitwise from amid its overflows, and float knows how far it was") {
  LossScale const high{.initial_scale_power = 36, .loss_scale_window = 3, .hysteresis = 4};
  for (int const saved : {2, 7, 25}) {  // amid the hysteresis, amid the fall, amid the rise
    CAPTURE(saved);
    Folder const folder;
    Half<Zero<0>> once(world(), with(high));
    Half<Zero<3>> again(world(), with(high));
    Trainer<Model, AdamW, ClipNorm, Batch<1, 8>, Zero<1>> full(world(), with({}));
    for (int i = 0; i < saved; ++i) once.step(Counting{});
    once.save(folder / "state");
    again.load(folder / "state"), full.load(folder / "state");
    CHECK(again.engine().scaler() == once.engine().scaler());
    Course a, b;
    Report const r = full.step(Counting{});
    for (int i = 0; i < 20; ++i) a.add(once.step(Counting{})), b.add(again.step(Counting{}));
    a.end = everything(once), b.end = everything(again);
    CHECK(same(a, b));
    CHECK(r.step == saved + 1);
    CHECK(r.learning_rate == a.rates[0]);
    CHECK(r.loss_scale == 1);
    // From float back to fp16: what was skipped is still known.
    full.save(folder / "full");
    again.load(folder / "full");
    CHECK(again.engine().updates() == full.engine().updates());
  }
}

TEST_CASE("a damaged loss scale in a checkpoint is refused") {
  Folder const folder;
  Half<Zero<0>> trainer(world(), with({}));
  trainer.save(folder / "state");
  std::string const good = bytes_of_file(folder / "state");
  std::string const line = "loss_scale 65536 0 -1 2 0\n";
  REQUIRE(contains(good, line));
  for (char const* bad :
       {"loss_scale 65536 0 -1 2\n", "loss_scale 65536 0 -1 2 0 0\n", "loss_scale nan 0 -1 2 0\n",
        "loss_scale 0 0 -1 2 0\n", "loss_scale 65536 0 3 2 0\n", "loss_scale 65536 0 -1 0 0\n",
        "loss_scale 65536 0 -1 2 9\n", "loss_scale\n"}) {
    CAPTURE(bad);
    std::string changed = good;
    changed.replace(changed.find(line), line.size(), bad);
    put_file(folder / "bad", changed);
    std::string const said = refusal([&] { trainer.load(folder / "bad"); });
    CHECK(is_one_sentence(said));
    CHECK(contains(said, "for its loss scale"));
  }
}

TEST_CASE("options of a loss scale need fp16") {
  using Full = Trainer<Model, AdamW, ClipNorm, Batch<1, 8>, Zero<0>>;
  CHECK(contains(refusal([] { Full(world(), with({.initial_scale_power = 12})); }),
                 "Options::fp16 scales the loss of Precision<fp16> only"));
  Full trainer(world(), with({}));
  trainer.options().fp16.loss_scale = 128;
  CHECK(contains(refusal([&] { trainer.step(Counting{}); }), "Options::fp16"));
}

}  // namespace
