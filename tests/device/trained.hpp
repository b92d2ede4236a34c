/// What a model has learned after a few steps, and how the same model elsewhere compares.
#pragma once

#include <tessera/tessera.hpp>

#include <cuda_double/api.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "../ranks.hpp"

namespace tessera::test {

/// Sample i holds tokens below 61 that nobody else's do.
struct Made {
  std::int64_t samples(int) const { return 64; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t t = 0; t < in.size(); ++t) {
      in[t] = std::int32_t((i * 13 + std::int64_t(t) * 7) % 61);
      out[t] = t % 5 == 4 ? -1 : std::int32_t((i * 13 + std::int64_t(t) * 7 + 3) % 61);
    }
  }
};

struct Trained {
  std::vector<double> losses, norms;
  std::vector<std::vector<Real>> values;
};

inline constexpr int steps = 2;

template <class Trainer>
Trained after_steps() {
  Trainer trainer(world(), {.learning_rate = 1e-2, .clip_norm = 0.5});
  Trained t;
  for (int i = 0; i < steps; ++i) {
    long const waits = cuda_double::host_waits();
    Report const r = trainer.step(Made{});
    CHECK(cuda_double::host_waits() - waits == std::is_same_v<typename Trainer::Backend, Cuda>);
    t.losses.push_back(r.loss);
    t.norms.push_back(r.gradient_norm);
  }
  for (std::string const& path : trainer.paths()) {
    t.values.push_back(trainer.parameter(path));
    t.values.push_back(trainer.gradient(path));
    t.values.push_back(trainer.state("exp_avg", path));
  }
  t.losses.push_back(trainer.evaluate(Made{}, 13));
  Plan const& p = trainer.plan();
  Traffic const& c = trainer.engine().traffic();
  Bytes moved = 0, crossed = 0;
  for (Counter const& n : {c.reduced, c.gradients_gathered})
    moved += n.copied, crossed += n.payload;
  CHECK(moved == steps * (copied(p, Do::reduce) + copied(p, Do::gather_gradient)));
  CHECK(crossed == steps * (payload(p, Do::reduce) + payload(p, Do::gather_gradient)));
  return t;
}

inline void same_bits(Trained const& a, Trained const& b) {
  CHECK(a.losses == b.losses);
  CHECK(a.norms == b.norms);
  REQUIRE(a.values.size() == b.values.size());
  int different = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i)
    different +=
        std::memcmp(a.values[i].data(), b.values[i].data(), a.values[i].size() * sizeof(Real)) != 0;
  CHECK(different == 0);
}

/// Losses and norms of a few steps, whose products are summed in another order.
inline void close(Trained const& a, Trained const& b, double most) {
  for (std::size_t i = 0; i < a.losses.size(); ++i)
    CHECK(std::abs(a.losses[i] / b.losses[i] - 1) < most);
  for (std::size_t i = 0; i < a.norms.size(); ++i)
    CHECK(std::abs(a.norms[i] / b.norms[i] - 1) < 10 * most);
}

}  // namespace tessera::test
