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
  /// Writes the elements of a sample; returns how many of its targets are not ignored.
  std::int64_t (*read)(void const*, std::int64_t index, int vocabulary, std::byte* input,
                       std::byte* target) = nullptr;

  template <class Input, class Target, Data<Input, Target> D>
  static Source of(D const& data) {
    std::int64_t const samples = count<D>(data, int(Input::field.count()));
    if (samples < 1) throw Error("the source has no samples; give it at least one", true);
    return {&data, samples,
            [](void const* d, std::int64_t index, int vocabulary, std::byte* in, std::byte* out) {
              return read_into<Input, Target>(*static_cast<D const*>(d), index, vocabulary, in,
                                              out);
            }};
  }

 private:
  template <class D>
  static std::int64_t count(D const& data, int elements) {
    if constexpr (requires { data.samples(elements); })
      return data.samples(elements);
    else
      return data.samples();
  }
  template <class Field>
  static typename Field::span span_of(std::byte* at) {
    return typename Field::span(reinterpret_cast<typename Field::element*>(at),
                                std::size_t(Field::field.count()));
  }
  template <class Input, class Target, class D>
  static std::int64_t read_into(D const& data, std::int64_t index, int vocabulary, std::byte* in,
                                std::byte* out) {
    auto const input = span_of<Input>(in);
    auto const target = span_of<Target>(out);
    if constexpr (is_sample_field<Input>) {
      read_sample<Input, Target>(data, index, input, target);
      return 1;
    } else {
      read_sample(data, index, vocabulary, input, target);
      return std::int64_t(target.size()) - std::count(target.begin(), target.end(), ignored);
    }
  }
};

/// Data rank r of D takes samples [rG/D, (r+1)G/D) of a global batch of G.
struct Batches {
  Source source{};
  SampleBatch batch{};
  int vocabulary = 0;
  int micros = 1, rank = 0, ranks = 1;
  std::int64_t first = 0;  // sample of the run that this global batch starts with
  bool shuffled = true;    // by the keyed permutation of each epoch; else as the source has them
  bool repeats = true;     // goes on with the first sample behind the last one
  std::uint64_t seed = 0;

  std::int64_t global() const { return std::int64_t(batch.samples) * micros * ranks; }
  /// Terms of the loss's mean: targets of text, else samples.
  std::int64_t terms() const { return global() * batch.terms(); }

  /// Fills a micro-batch's buffer, with a key for random numbers per sample of the run; returns the
  /// number of terms that are not ignored. Past the end of a source that does not repeat, they all
  /// are.
  std::int64_t load(int micro, std::byte* buffer) const {
    BatchFields const f = batch_fields(batch);
    auto* const scale = reinterpret_cast<Real*>(buffer + f.loss_scale);
    auto* const noise = reinterpret_cast<std::uint32_t*>(buffer + f.noise);
    std::int64_t const begin =
        first + std::int64_t(rank) * batch.samples * micros + std::int64_t(micro) * batch.samples;
    Real const share = Real(1.0 / double(terms()));
    std::int64_t valid = 0;
    scale[0] = share;
    for (int s = 0; s < batch.samples; ++s) {
      std::byte* const in = buffer + f.input + s * batch.input.bytes(1);
      std::byte* const out = buffer + f.target + s * batch.target.bytes(1);
      std::int64_t const g = begin + s;
      Words const w = words(RandomKey(seed, "noise"), g);
      noise[2 * s] = w.at[0], noise[2 * s + 1] = w.at[1];
      bool const real = repeats || g < source.samples;
      std::int64_t const index = shuffled ? Order{seed}(g, source.samples) : g % source.samples;
      // What is no text has some sample there, for a loss that is finite and does not count.
      if (real || !batch.text())
        valid += source.read(source.data, index, vocabulary, in, out) * real;
      else
        ignore(in, out);
      if (!batch.text()) scale[s] = real ? share : Real(0);
    }
    return valid;
  }

 private:
  void ignore(std::byte* in, std::byte* out) const {
    std::fill_n(reinterpret_cast<std::int32_t*>(in), batch.input.count(), 0);
    std::fill_n(reinterpret_cast<std::int32_t*>(out), batch.target.count(), ignored);
  }
};

}  // namespace tessera::inline TESSERA_SETTING
