/// Dropout with a mask that is a function of keys, so it is never stored. Srivastava et al., JMLR
/// 2014.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/random.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y = x / (1 - probability) where word e of the sequence's random row says so, else 0; e is the
/// element's index within its sequence. The same of dy is the gradient.
///
/// Shapes  y, x [sequences, ..] · keys [sequences, 2]: low and high half; y may be x
/// Types   T, arithmetic in Wide<T>
/// Moves   2 * sizeof(T) bytes per element; draws 4 bytes per element
template <class T>
struct Dropout {
  View<T> y;
  View<T const> x;
  View<std::uint32_t const> keys;
  std::uint64_t stream;
  double probability;

  TESSERA_BOTH std::int64_t rows() const { return y.shape[0] * Chunk::count(of_sequence()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const each = of_sequence(), chunks = Chunk::count(each), sequence = r / chunks;
    Chunk const chunk = Chunk::at(r % chunks, each);
    T* const out = y.at + sequence * each + chunk.first;
    T const* const in = x.at + sequence * each + chunk.first;
    RandomKey key;
    key.seed = keys[2 * sequence] | std::uint64_t(keys[2 * sequence + 1]) << 32;
    key.stream = stream;
    W const scale = W(1 / (1 - probability));
    auto const least = std::uint32_t(probability * 0x1p32);  // words below are dropped
    std::int64_t const block = chunk.first / 4, whole = chunk.size / 4;
    auto const kept = [=](T value, std::uint32_t word) {
      return T(W(value) * scale * W(word >= least));
    };
    lane.each(whole, [=](std::int64_t b) {
      Words const w = words(key, block + b);
      T const* const from = in + 4 * b;
      T* const to = out + 4 * b;
      T const x0 = from[0], x1 = from[1], x2 = from[2], x3 = from[3];
      to[0] = kept(x0, w.at[0]), to[1] = kept(x1, w.at[1]);
      to[2] = kept(x2, w.at[2]), to[3] = kept(x3, w.at[3]);
    });
    lane.once([=] {
      Words const w = words(key, block + whole);
      for (std::int64_t i = 4 * whole; i < chunk.size; ++i) out[i] = kept(in[i], w.at[i % 4]);
    });
  }

 private:
  static_assert(Chunk::at(1, 1 << 20).first % 4 == 0, "a block of words lies in one chunk");
  TESSERA_BOTH std::int64_t of_sequence() const { return y.count() / y.shape[0]; }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
