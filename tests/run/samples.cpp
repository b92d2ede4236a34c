// ranks: 1 2 4
// timeout: 180
/// Training on numbers and labels: the same bits in every layout, 16 bits beside float, bytes as
/// planned, and what a source may not do.
#include "run/losses.hpp"

#include <limits>

using namespace tessera;
using namespace tessera::test;

namespace {

struct State {
  std::vector<double> losses;
  double evaluated = 0;
  std::vector<std::vector<Real>> values;
  bool operator==(State const& other) const {
    return same_bits(losses, other.losses) && evaluated == other.evaluated &&
           std::equal(values.begin(), values.end(), other.values.begin(), other.values.end(),
                      [](auto const& a, auto const& b) { return same_bits(a, b); });
  }
};

template <class Model, class... Policies, class Data>
State trained(Data const& data, int steps = 8) {
  Trainer<Model, AdamW, ClipNorm, Policies...> trainer(world(), {.learning_rate = 3e-2});
  State s;
  for (int i = 0; i < steps; ++i) s.losses.push_back(trainer.step(data).loss);
  for (std::string const& path : trainer.paths()) {
    s.values.push_back(trainer.parameter(path));
    s.values.push_back(trainer.gradient(path));
    s.values.push_back(trainer.state("exp_avg_sq", path));
  }
  s.evaluated = trainer.evaluate(data, 23);
  return s;
}

template <class... Policies>
void same_in_every_stage() {
  auto const stages = [](auto run) {
    State const whole = run(Zero<0>{});
    CHECK(whole.evaluated < whole.losses[0]);
    CHECK(whole == run(Zero<0>{}));
    CHECK(whole == run(Zero<1>{}));
    CHECK(whole == run(Zero<2>{}));
    CHECK(whole == run(Zero<3>{}));
  };
  stages([]<class Stage>(Stage) {
    return trained<Regression, OfPoints<4>, Policies..., Stage>(Points{});
  });
  stages([]<class Stage>(Stage) {
    return trained<Classification, OfLabelledPoints<4>, Policies..., Stage>(LabelledPoints{});
  });
}
TEST_CASE("every Zero stage has the same bits") {
  same_in_every_stage<>();
}
TEST_CASE("every Zero stage has the same bits: micro-batches") {
  same_in_every_stage<Accumulate<3>, Reduce<Step>>();
  same_in_every_stage<Accumulate<3>, Reduce<Micro>>();
}
TEST_CASE("every Zero stage has the same bits: bf16") {
  same_in_every_stage<Precision<bf16>, Accumulate<2>, Reduce<Step>>();
}

TEST_CASE("16 bits stay close to float") {
  State const whole = trained<Classification, OfLabelledPoints<4>>(LabelledPoints{});
  auto const close = [&](State const& low) {
    for (std::size_t i = 0; i < whole.losses.size(); ++i)
      CHECK(std::abs(whole.losses[i] - low.losses[i]) <= 0.02);
    CHECK(std::abs(whole.evaluated - low.evaluated) <= 0.02);
    CHECK(!(whole == low));
  };
  close(trained<Classification, OfLabelledPoints<4>, Precision<bf16>, Zero<3>>(LabelledPoints{}));
  close(trained<Classification, OfLabelledPoints<4>, Precision<fp16>, Zero<3>>(LabelledPoints{}));
}

TEST_CASE("a batch has the bytes of its samples, and the plan says what they are") {
  using T = Trainer<Classification, AdamW, Samples<100, Floats<features>, Labels<classes>>>;
  // Numbers, labels, a share in the mean for each sample, and a key for random numbers.
  constexpr Bytes bytes =
      aligned(100 * features * 4) + aligned(100 * 4) + aligned(100 * 4) + aligned(100 * 8);
  static_assert(T::facts().batch == bytes);
  static_assert(Placement(T::plan({})).of(Family::batch).bytes == bytes);
  T trainer(world());
  trainer.step(LabelledPoints{});
  CHECK(contains(render(trainer.plan()), "of 100 samples, 5 numbers to 1 label of 3, one after"));
  CHECK(trainer.engine().measured_memory() <= peak(trainer.plan()) + 64_MiB);
}

TEST_CASE("a micro-batch holds its samples one after another; past the end none counts") {
  Batches b{.source = Source::of<RegressionInput, RegressionTarget>(Points{.many = 5}),
            .batch = OfPoints<4>::batch,
            .micros = 2,
            .shuffled = false,
            .repeats = false};
  BatchFields const f = batch_fields(b.batch);
  std::vector<std::byte> buffer(std::size_t(f.bytes), std::byte(0x55));
  CHECK(b.load(0, buffer.data()) == 4);
  CHECK(b.load(1, buffer.data()) == 1);
  auto const* in = reinterpret_cast<Real const*>(buffer.data() + f.input);
  auto const* out = reinterpret_cast<Real const*>(buffer.data() + f.target);
  auto const* scale = reinterpret_cast<Real const*>(buffer.data() + f.loss_scale);
  for (std::int64_t s = 0; s < 4; ++s) {
    std::int64_t const i = (4 + s) % 5;
    CHECK(in[s * features + 3] == feature(i, 3));
    CHECK(out[s * aims + 1] == aim(i, 1));
    CHECK(scale[s] == (s == 0 ? Real(1.0 / 8) : Real(0)));
  }
}

/// Tokens in, numbers out: a table that learns its rows.
struct Lookup {
  Embedding<16, 8> table;
  constexpr Value operator()(Value tokens) const {
    return apply<SquaredError>(table(tokens), targets(tokens));
  }
};
struct Table {
  Lookup all;
};
struct Rows {
  std::int64_t samples() const { return 64; }
  void sample(std::int64_t i, std::span<std::int32_t, 6> in, std::span<Real, 48> out) const {
    for (std::int64_t k = 0; k < 6; ++k) {
      in[std::size_t(k)] = std::int32_t((i * 5 + k * 3) % 16);
      for (std::int64_t c = 0; c < 8; ++c)
        out[std::size_t(k * 8 + c)] = feature(in[std::size_t(k)], c);
    }
  }
};
TEST_CASE("labels as an input: tokens to numbers") {
  using Micro = Samples<4, Labels<16, 6>, Floats<6, 8>>;
  State const whole = trained<Table, Micro, Zero<0>>(Rows{}, 40);
  CHECK(whole.evaluated < 0.1 * whole.losses[0]);
  CHECK(whole == trained<Table, Micro, Zero<3>>(Rows{}, 40));
}

TEST_CASE("what a source may not write is refused, with the sample and the element") {
  struct Bad : Points {
    int element;
    Real value;
    void sample(std::int64_t i, RegressionInput::span x, RegressionTarget::span y) const {
      Points::sample(i, x, y);
      (element < features ? x[std::size_t(element)] : y[std::size_t(element - features)]) = value;
    }
  };
  struct Short : Points {
    void sample(std::int64_t i, RegressionInput::span x, RegressionTarget::span y) const {
      for (std::size_t k = 0; k < x.size(); ++k) x[k] = feature(i, std::int64_t(k));
      y[0] = 1;
    }
  };
  struct Label : LabelledPoints {
    std::int32_t value;
    void sample(std::int64_t i, std::span<Real> x, std::span<std::int32_t> y) const {
      LabelledPoints::sample(i, x, y);
      y[0] = value;
    }
  };
  struct NoLabel : LabelledPoints {
    void sample(std::int64_t i, std::span<Real> x, std::span<std::int32_t>) const {
      std::int32_t unused[1];
      LabelledPoints::sample(i, x, unused);
    }
  };
  auto const refused = [](auto& trainer, auto const& data, char const* part) {
    std::string const said = refusal([&] { trainer.step(data); });
    INFO(said);
    CHECK(is_one_sentence(said));
    CHECK(contains(said, part));
  };
  Trainer<Regression, Sgd, OfPoints<2>> numbers(world());
  Real const infinite = std::numeric_limits<Real>::infinity();
  refused(numbers, Bad{{}, 3, infinite}, ": element 3 of its input is inf, not a finite number");
  refused(numbers, Bad{{}, features, -infinite}, ": element 0 of its target is -inf, not a");
  refused(numbers, Short{}, ": element 1 of its target is nan, not a finite number");
  refused(numbers, Points{.many = 0}, "the source has no samples");
  Trainer<Classification, Sgd, OfLabelledPoints<2>> labels(world());
  refused(labels, Label{{}, 3}, ": element 0 of its target is 3, not a label below 3");
  refused(labels, Label{{}, -1}, ": element 0 of its target is -1, not a label below 3");
  refused(labels, NoLabel{}, "not a label below 3; a source writes every element");
  CHECK(numbers.step(Points{}).step == 1);
}

}  // namespace
