// cuda
// timeout: 120
/// Every kernel that an optimizer runs, on a block's threads and on a warp's: the bits of a core,
/// with every way to store weights.
#include <tessera/kernels/adagrad.hpp>
#include <tessera/kernels/adam.hpp>
#include <tessera/kernels/lamb.hpp>
#include <tessera/kernels/lion.hpp>
#include <tessera/kernels/muon.hpp>
#include <tessera/kernels/running.hpp>
#include <tessera/kernels/sgd.hpp>

#include "both.hpp"

using namespace tessera;
using namespace tessera::kernel;
using tessera::test::Operands;
using tessera::test::same_everywhere;
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
      same_everywhere([&](Operands& o) {
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
      same_everywhere([&](Operands& o) {
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
    same_everywhere([&](Operands& o) {
      return Adagrad<T, Weights>{.w = weights(o, n),
                                 .s = state<T, Weights>(o, n),
                                 .g = o.some<T>(n),
                                 .n = n,
                                 .lr = 1e-2,
                                 .eps = 1e-10,
                                 .decay = 0.1,
                                 .gradient_scale = clip};
    });
    same_everywhere([&](Operands& o) {
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
    same_everywhere([&](Operands& o) { return AddChange<T>{o.some<T>(n), o.some<T>(n), n, 0.1}; });
  }
}

/// Of optimizers that cannot round stochastically.
template <class T, class Weights>
void norm_bound_steps_are_the_same() {
  auto const weights = [](Operands& o, std::int64_t n) { return Stored<Weights>::put(o, n); };
  for (std::int64_t const n : counts) {
    CAPTURE(n);
    same_everywhere([&](Operands& o) {
      return LambMoments<T, Weights>{.partial = o.some<double>((n + 255) / 256 * 2),
                                     .w = weights(o, n),
                                     .m = o.some<T>(n),
                                     .v = o.positive<T>(n),
                                     .g = o.some<T>(n),
                                     .n = n,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .update = {3.7, 334, 1e-6, 0.1},
                                     .gradient_scale = clip};
    });
    same_everywhere([&](Operands& o) {
      return LambStep<T, Weights>{.w = weights(o, n),
                                  .m = o.some<T>(n),
                                  .v = o.positive<T>(n),
                                  .n = n,
                                  .sums = o.positive<double>(2),
                                  .rate = 1e-2,
                                  .least = 0.01,
                                  .most = 10,
                                  .update = {3.7, 334, 1e-6, 0.1}};
    });
    same_everywhere([&](Operands& o) {
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
      same_everywhere([&](Operands& o) {
        return MuonMomentum<T>{.u = o.some<T>(n),
                               .m = o.some<T>(n),
                               .g = o.some<T>(n),
                               .n = n,
                               .momentum = 0.95,
                               .nesterov = nesterov,
                               .gradient_scale = clip};
      });
  for (std::int64_t const n : counts) {
    same_everywhere([&](Operands& o) {
      return Normalize<T>{
          .y = o.some<T>(n), .x = o.some<T>(n), .squares = o.positive<double>(1), .n = n};
    });
    same_everywhere([&](Operands& o) {
      T* const x = o.some<T>(n);
      return Stretch<T>{.y = x, .x = x, .n = n, .by = 1.3};
    });
  }
  for (std::int64_t const n : {1, 127, 129})
    same_everywhere([&](Operands& o) {
      return Quadratic<T>{
          .p = o.some<T>(n * n), .s = o.some<T>(n * n), .n = n, .a = 3.4, .b = -4.7, .c = 2.0};
    });
}
