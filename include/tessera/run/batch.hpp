/// The micro-batches of one step or evaluation on one rank: which samples, into which bytes.
#pragma once

#include <tessera/core/random.hpp>
#include <tessera/graph/describe.hpp>
#include <tessera/run/data.hpp>

#include <algorithm>

namespace tessera::inline TESSERA_SETTING {

/// A Data source without its type.
struct Source {
  void const* data = nullptr;
  std::int64_t samples = 0;
  void (*read)(void const*, std::int64_t index, int vocabulary, std::span<std::int32_t> input,
               std::span<std::int32_t> target) = nullptr;

  template <Data D>
  static Source of(D const& data, int tokens) {
    return {&data, data.samples(tokens),
            [](void const* d, std::int64_t index, int vocabulary, std::span<std::int32_t> input,
               std::span<std::int32_t> target) {
              read_sample(*static_cast<D const*>(d), index, vocabulary, input, target);
            }};
  }
};

/// Data rank r of D takes samples [rG/D, (r+1)G/D) of a global batch of G.
struct Batches {
  Source source{};
  int sequences = 1, tokens = 1, vocabulary = 0;
  int micros = 1, rank = 0, ranks = 1;
  std::int64_t first = 0;  // sample of the run that this global batch starts with
  bool shuffled = true;    // by the keyed permutation of each epoch; else as the source has them
  bool repeats = true;     // goes on with the first sample behind the last one
  std::uint64_t seed = 0;

  std::int64_t global() const { return std::int64_t(sequences) * micros * ranks; }
  std::int64_t targets() const { return global() * tokens; }

  /// Fills a micro-batch's buffer, with a key for random numbers per sample of the run; returns the
  /// number of targets that are not ignored. Past the end of a source that does not repeat, targets
  /// are ignored.
  std::int64_t load(int micro, std::byte* buffer) const {
    BatchFields const f = batch_fields(sequences, tokens);
    auto* const input = reinterpret_cast<std::int32_t*>(buffer + f.tokens);
    auto* const target = reinterpret_cast<std::int32_t*>(buffer + f.targets);
    auto* const noise = reinterpret_cast<std::uint32_t*>(buffer + f.noise);
    std::int64_t const begin =
        first + std::int64_t(rank) * sequences * micros + std::int64_t(micro) * sequences;
    std::int64_t valid = 0;
    for (int s = 0; s < sequences; ++s) {
      std::span<std::int32_t> const in{input + std::int64_t(s) * tokens, std::size_t(tokens)};
      std::span<std::int32_t> const out{target + std::int64_t(s) * tokens, std::size_t(tokens)};
      std::int64_t const g = begin + s;
      Words const w = words(RandomKey(seed, "noise"), g);
      noise[2 * s] = w.at[0], noise[2 * s + 1] = w.at[1];
      if (repeats || g < source.samples) {
        std::int64_t const index = shuffled ? Order{seed}(g, source.samples) : g % source.samples;
        source.read(source.data, index, vocabulary, in, out);
        valid += tokens - std::count(out.begin(), out.end(), ignored);
      } else {
        std::fill(in.begin(), in.end(), 0);
        std::fill(out.begin(), out.end(), ignored);
      }
    }
    *reinterpret_cast<Real*>(buffer + f.loss_scale) = Real(1.0 / double(targets()));
    return valid;
  }
};

}  // namespace tessera::inline TESSERA_SETTING
