// cuda
// timeout: 120
/// Every kernel that an optimizer runs, on a block's threads: the bits of a core, with every way to
/// store weights; and what is made of several, across tensors.
#include <tessera/kernels/adagrad.hpp>
#include <tessera/kernels/adam.hpp>
#include <tessera/kernels/lamb.hpp>
#include <tessera/kernels/lion.hpp>
#include <tessera/kernels/muon.hpp>
#include <tessera/kernels/running.hpp>
#include <tessera/kernels/sgd.hpp>
#include <tessera/optimizer/lamb.hpp>
#include <tessera/optimizer/newton_schulz.hpp>

#include "../../optimizer/newton_schulz_reference.hpp"
#include "both.hpp"
#include "device.hpp"

using namespace tessera;
using namespace tessera::kernel;
using tessera::test::Operands;
using tessera::test::same_on_both;
using tessera::test::values;

namespace {

constexpr std::int64_t counts[]{1, 127, 129, 4097, 5000};
constexpr double clip = 0.75;

/// n weights as Weights stores them.
template <class Weights>
struct Stored;
template <class T>
struct Stored<Plain<T>> {
  static Plain<T> put(Operands& o, std::int64_t n) { return o.some<T>(n); }
};
template <>
struct Stored<Split> {
  static Split put(Operands& o, std::int64_t n) {
    test::Halves const w(values<float>(n, 77));
    return {o.put(w.high), o.put(w.low)};
  }
};
template <>
struct Stored<Master> {
  static Master put(Operands& o, std::int64_t n) {
    test::Copies const w(values<float>(n, 77));
    return {o.put(w.low), o.put(w.exact)};
  }
};
template <>
struct Stored<Rounded> {
  static Rounded put(Operands& o, std::int64_t n) {
    return {o.some<bf16>(n), {.key = RandomKey(5, "blocks.3.up"), .first = 40}};
  }
};

/// States beside such weights; none is negative, as no square is.
template <class T, class Weights>
StateOf<T, Weights> state(Operands& o, std::int64_t n) {
  if constexpr (std::is_same_v<Weights, Rounded>)
    return {o.positive<bf16>(n), {}};
  else
    return o.positive<T>(n);
}

template <class T, class Weights>
void steps_are_the_same() {
  auto const weights = [](Operands& o, std::int64_t n) { return Stored<Weights>::put(o, n); };
  for (std::int64_t const n : counts) {
    CAPTURE(n);
    auto const adam = [&]<bool Decoupled>() {
      same_on_both([&](Operands& o) {
        return Adam<T, Weights, Decoupled>{.w = weights(o, n),
                                           .m = state<T, Weights>(o, n),
                                           .v = state<T, Weights>(o, n),
                                           .g = o.some<T>(n),
                                           .n = n,
                                           .lr = 1e-2,
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .eps = 1e-8,
                                           .decay = 0.1,
                                           .correction1 = 3.7,
                                           .correction2 = 334,
                                           .gradient_scale = clip};
      });
    };
    adam.template operator()<false>();
    adam.template operator()<true>();
    for (bool const nesterov : {false, true})
      same_on_both([&](Operands& o) {
        return Sgd<T, Weights>{.w = weights(o, n),
                               .b = state<T, Weights>(o, n),
                               .g = o.some<T>(n),
                               .n = n,
                               .lr = 1e-2,
                               .momentum = 0.9,
                               .decay = 0.1,
                               .nesterov = nesterov,
                               .gradient_scale = clip};
      });
    same_on_both([&](Operands& o) {
      return Adagrad<T, Weights>{.w = weights(o, n),
                                 .s = state<T, Weights>(o, n),
                                 .g = o.some<T>(n),
                                 .n = n,
                                 .lr = 1e-2,
                                 .eps = 1e-10,
                                 .decay = 0.1,
                                 .gradient_scale = clip};
    });
    same_on_both([&](Operands& o) {
      return Lion<T, Weights>{.w = weights(o, n),
                              .m = state<T, Weights>(o, n),
                              .g = o.some<T>(n),
                              .n = n,
                              .lr = 1e-2,
                              .beta1 = 0.9,
                              .beta2 = 0.99,
                              .decay = 0.1,
                              .gradient_scale = clip};
    });
    same_on_both([&](Operands& o) { return AddChange<T>{o.some<T>(n), o.some<T>(n), n, 0.1}; });
  }
}

/// Of optimizers that cannot round stochastically.
template <class T, class Weights>
void norm_bound_steps_are_the_same() {
  auto const weights = [](Operands& o, std::int64_t n) { return Stored<Weights>::put(o, n); };
  for (std::int64_t const n : counts) {
    CAPTURE(n);
    same_on_both([&](Operands& o) {
      return LambMoments<T, Weights>{.partial = o.some<double>((n + 255) / 256 * 2),
                                     .w = weights(o, n),
                                     .m = o.some<T>(n),
                                     .v = o.positive<T>(n),
                                     .g = o.some<T>(n),
                                     .n = n,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .eps = 1e-6,
                                     .decay = 0.1,
                                     .correction1 = 3.7,
                                     .correction2 = 334,
                                     .gradient_scale = clip};
    });
    same_on_both([&](Operands& o) {
      return LambStep<T, Weights>{.w = weights(o, n),
                                  .m = o.some<T>(n),
                                  .v = o.positive<T>(n),
                                  .n = n,
                                  .sums = o.positive<double>(2),
                                  .rate = 1e-2,
                                  .least = 0.01,
                                  .most = 10,
                                  .eps = 1e-6,
                                  .decay = 0.1,
                                  .correction1 = 3.7,
                                  .correction2 = 334};
    });
    same_on_both([&](Operands& o) {
      return MuonStep<T, Weights>{
          .w = weights(o, n), .u = o.some<T>(n), .n = n, .lr = 1e-2, .decay = 0.1};
    });
  }
}

}  // namespace

TEST_CASE("steps") {
  steps_are_the_same<float, Plain<float>>();
  steps_are_the_same<double, Plain<double>>();
  steps_are_the_same<float, Split>();
  steps_are_the_same<float, Master>();
  steps_are_the_same<float, Rounded>();
}

TEST_CASE("steps between norms") {
  norm_bound_steps_are_the_same<float, Plain<float>>();
  norm_bound_steps_are_the_same<double, Plain<double>>();
  norm_bound_steps_are_the_same<float, Split>();
  norm_bound_steps_are_the_same<float, Master>();
}

TEST_CASE_TEMPLATE("matrices on their way to be orthogonal", T, float, double) {
  for (std::int64_t const n : counts)
    for (bool const nesterov : {false, true})
      same_on_both([&](Operands& o) {
        return MuonMomentum<T>{.u = o.some<T>(n),
                               .m = o.some<T>(n),
                               .g = o.some<T>(n),
                               .n = n,
                               .momentum = 0.95,
                               .nesterov = nesterov,
                               .gradient_scale = clip};
      });
  for (std::int64_t const n : counts) {
    same_on_both([&](Operands& o) {
      return Normalize<T>{
          .y = o.some<T>(n), .x = o.some<T>(n), .squares = o.positive<double>(1), .n = n};
    });
    same_on_both([&](Operands& o) {
      T* const x = o.some<T>(n);
      return Stretch<T>{.y = x, .x = x, .n = n, .by = 1.3};
    });
  }
  for (std::int64_t const n : {1, 127, 129})
    same_on_both([&](Operands& o) {
      return Quadratic<T>{
          .p = o.some<T>(n * n), .s = o.some<T>(n * n), .n = n, .a = 3.4, .b = -4.7, .c = 2.0};
    });
}

TEST_CASE("Lamb's passes: states, sums and weights of cores, however small the scratch") {
  std::int64_t const n = 5 * 256 + 64;
  for (bool const halves : {false, true})
    for (std::size_t const doubles : {2, 5, 64}) {
      auto const pass = [&](Team auto const& team, Operands& o) {
        test::Halves const w(values<float>(n, 77));
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
  for (auto const& [rows, cols] : shapes) {
    CAPTURE(rows);
    CAPTURE(cols);
    test::Stream const stream;
    auto const before = values<float>(rows * cols, 3);
    test::Buffer<float> const x(before, stream);
    cuda::DeviceMemory const workspace(
        Cuda::gemm_workspace + orthogonal_workspace({0, 0, rows, cols}, sizeof(float)),
        stream.get());
    NewtonSchulz<Cuda>(rows, cols).run(stream.get(), x.get(), 3, workspace.get());
    auto expected =
        test::newton_schulz(std::vector<double>(before.begin(), before.end()), rows, cols);
    for (double& v : expected) v *= 3;
    CHECK(test::distance(x.read(), expected) <= 3 * 8e-5);  // tests/optimizer/newton_schulz.cpp
  }
}
