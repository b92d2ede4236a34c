/// A small GPT-2 and what it learns from, for cores and GPUs: their losses are compared.
#pragma once

#include <tessera/tessera.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace tessera::test {

using SmallGpt = Gpt2<2, 64, 2, 96, 32>;
inline constexpr int loss_steps = 10;

/// Sequences with something to learn: each token is three more than the one before, mostly.
struct Sequences {
  std::int64_t samples(int) const { return 4096; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    RandomKey const key(11, "sequences");
    std::int32_t last = std::int32_t(i % 96);
    for (std::size_t t = 0; t < in.size(); ++t) {
      bool const odd = uniform(key, i * 64 + std::int64_t(t)) < 0.1;
      in[t] = last;
      out[t] = last = (last + (odd ? 50 : 3)) % 96;
    }
  }
};

/// A step's loss and gradient norm.
struct Learned {
  double loss = 0, norm = 0;
};

template <class... Policies>
std::vector<Learned> learn(World& world) {
  Trainer<SmallGpt, Batch<4, 32>, AdamW, ClipNorm, Policies...> trainer(
      world, {.learning_rate = 4e-3, .clip_norm = 1.0});
  std::vector<Learned> all;
  for (int i = 0; i < loss_steps; ++i) {
    Report const r = trainer.step(Sequences{});
    all.push_back({r.loss, r.gradient_norm});
  }
  return all;
}

/// The table of tests/fixtures/gpu_losses.txt: a line per precision and step.
inline std::vector<Learned> expected(std::string const& file, std::string const& precision) {
  std::vector<Learned> all;
  std::FILE* const in = std::fopen(file.c_str(), "r");
  if (!in) throw Error(file + " cannot be read; run where the repository's root is");
  char name[16];
  int step = 0;
  for (Learned l; std::fscanf(in, "%15s %d %lf %lf", name, &step, &l.loss, &l.norm) == 4;)
    if (name == precision) all.push_back(l);
  std::fclose(in);
  if (all.size() != loss_steps) throw Error(file + " has no " + precision);
  return all;
}

inline double worst(std::vector<Learned> const& found, std::vector<Learned> const& wanted) {
  double most = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    most = std::max(most, std::abs(found[i].loss / wanted[i].loss - 1));
  return most;
}

}  // namespace tessera::test
