// cuda
// ranks: 1 2 4
// timeout: 120
/// Optimizers that work across tensors, on a GPU's double: the same bits in every layout, the
/// losses of cores, and with equal gradients their bits, or a bound where products are another's.
#include <cuda_double/api.hpp>
#include <cuda_double/memory.hpp>

#include <cmath>
#include <vector>

#include "backend/cuda/both.hpp"
#include "backend/cuda/device.hpp"
#include "optimizer/newton_schulz_reference.hpp"
#include "run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

using Model = Gpt2<2, 16, 2, 17, 8>;

struct Trained {
  std::vector<double> losses;
  std::vector<std::vector<Real>> values;
};

template <class Optimizer, class... Policies>
Trained trained(int steps = 3) {
  Trainer<Model, Batch<2, 8>, Optimizer, ClipNorm, Policies...> trainer(
      world(), {.learning_rate = 1e-2,
                .weight_decay = 0.1,
                .groups = {{.pattern = "blocks.1.mlp.*", .rate = 0.5, .weight_decay = 0}}});
  Trained t;
  std::size_t const allocated = cuda_double::allocated();
  for (int i = 0; i < steps; ++i) {
    long const waits = cuda_double::host_waits();
    t.losses.push_back(trainer.step(Counting{}).loss);
    CHECK(cuda_double::host_waits() - waits == (std::is_same_v<Policies, On<Cuda>> || ...));
  }
  CHECK(cuda_double::allocated() == allocated);
  Traffic const& c = trainer.engine().traffic();
  CHECK(c.exchanged.copied ==
        steps * (copied(trainer.plan(), Do::exchange) + copied(trainer.plan(), Do::exchange_sums)));
  t.losses.push_back(trainer.evaluate(Counting{}));
  for (std::string const& path : trainer.paths()) {
    t.values.push_back(trainer.parameter(path));
    for (std::string_view const name : trainer.engine().states_of(path))
      t.values.push_back(trainer.state(name, path));
  }
  return t;
}

bool same(Trained const& a, Trained const& b) {
  return a.losses == b.losses &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(),
                    [](auto const& x, auto const& y) { return same_bits(x, y); });
}

/// The largest relative distance between losses of weights that have stepped apart.
double apart(Trained const& a, Trained const& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.losses.size(); ++i)
    most = std::max(most, std::abs(a.losses[i] / b.losses[i] - 1));
  return most;
}

/// In float, products are summed in another order than on cores: roundings of 2^-24, and losses see
/// steps of 1e-2. In bf16, what is rounded the other way is apart by 2^-8 itself.
template <class Optimizer>
void check() {
  using Gpu = On<Cuda>;
  Trained const whole = trained<Optimizer, Gpu, Zero<0>>();
  CHECK(apart(whole, trained<Optimizer, Zero<0>>()) < 1e-6);
  CHECK(same(whole, trained<Optimizer, Gpu, Zero<1>>()));
  CHECK(same(whole, trained<Optimizer, Gpu, Zero<2>, Graphs>()));
  CHECK(same(whole, trained<Optimizer, Gpu, Zero<3>>()));

  Trained const low =
      trained<Optimizer, Gpu, Zero<0>, Accumulate<2>, Reduce<Micro>, Precision<bf16>>();
  CHECK(apart(low, trained<Optimizer, Zero<0>, Accumulate<2>, Reduce<Micro>, Precision<bf16>>()) <
        1e-4);
  CHECK(
      same(low, trained<Optimizer, Gpu, Zero<3>, Accumulate<2>, Reduce<Micro>, Precision<bf16>>()));
}

}  // namespace

TEST_CASE("Lamb: every tensor's sums are the same, whoever owns its parts") {
  check<Lamb>();
}
TEST_CASE("Muon: matrices are whole, wherever parts end") {
  check<Muon>();
}

TEST_CASE("Lamb's passes: states, sums and weights of cores, however small the scratch") {
  std::int64_t const n = 70 * 256 + 64;
  for (bool const halves : {false, true})
    for (std::size_t const doubles : {282, 285, 2048}) {
      auto const pass = [&](Team auto const& team, Operands& o) {
        Halves const w(values<float>(n, 77));
        StepRange const range{
            .low = halves ? DType::bf16 : DType::real,
            .weights = halves ? static_cast<void*>(o.put(w.high)) : o.some<float>(n),
            .master = o.put(w.low),
            .gradients = o.some<float>(n),
            .states = {o.some<float>(n), o.positive<float>(n)},
            .elements = n,
            .sums = o.some<double>(2),
            .scratch = {o.some<double>(std::int64_t(doubles)), doubles}};
        Lamb::prepare(team, range, {.decay = 0.1});
        Lamb::step(team, range, {.rate = 1e-2, .decay = 0.1});
      };
      cuda::OwnStream const stream(0);
      Operands cores, gpu(stream.get());
      pass(CpuTeam{}, cores);
      pass(CudaTeam{stream.get()}, gpu);
      gpu.fetch();
      CHECK(cores == gpu);
    }
}

TEST_CASE("a matrix becomes orthogonal as on cores: within 8e-5 of the iteration in double") {
  constexpr std::int64_t shapes[][2] = {{1, 1}, {8, 8}, {5, 17}, {17, 5}, {64, 48}, {48, 192}};
  for (auto const& shape : shapes) {
    std::int64_t const rows = shape[0], cols = shape[1];
    CAPTURE(rows);
    CAPTURE(cols);
    test::Stream const stream;
    auto const before = values<float>(rows * cols, 3);
    test::Buffer<float> const x(before, stream);
    cuda::DeviceMemory const workspace(
        Cuda::gemm_workspace + orthogonal_workspace({0, 0, rows, cols}, sizeof(float)),
        stream.get());
    NewtonSchulz<Cuda>(rows, cols).run(stream.get(), x.get(), 3, workspace.get());
    auto expected = newton_schulz(std::vector<double>(before.begin(), before.end()), rows, cols);
    for (double& v : expected) v *= 3;
    CHECK(distance(x.read(), expected) <= 3 * 8e-5);  // tests/optimizer/newton_schulz.cpp
  }
}
