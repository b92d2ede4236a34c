/// Stochastic rounding to bf16, with which a step far below half a unit in the last place of its
/// weight still counts, on average: so bf16 weights and states need nothing beside them. Gupta et
/// al., ICML 2015; for bf16 training Zamirai et al., arXiv 2010.06192.
#pragma once

#include <tessera/core/dtype.hpp>
#include <tessera/core/random.hpp>
#include <tessera/core/team.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING::kernel {

/// One of the two bf16 around x, the farther from 0 for as many of the 2^16 values of `noise` as
/// the 16 bits that are cut off tell: the mean over them is x, exactly. Infinity stays, and so does
/// a NaN that arithmetic made, or that came from a bf16: its lower half is 0.
TESSERA_BOTH constexpr bf16 round_stochastically(float x, std::uint32_t noise) {
  bf16 r{};
  r.bits = std::uint16_t((tessera::detail::bits(x) + noise) >> 16);
  return r;
}

/// What a step rounds the weight and the states of one element with: three numbers of 16 bits from
/// one word, each two of them independent, as x, y and x ^ y are.
struct Draw {
  std::uint32_t word;

  /// 0: of the weight; 1, 2: of the states.
  TESSERA_BOTH constexpr std::uint32_t of(int k) const {
    std::uint32_t const high = word >> 16;
    return (k == 0 ? word : k == 1 ? high : word ^ high) & 0xffffu;
  }
};

/// The words of a range of a parameter's elements. A word is a function of the key, which is of
/// (seed, path, step), and of the element, wherever a range begins or ends.
struct Noise {
  RandomKey key{};
  std::int64_t first = 0;  // element that the range begins with

  TESSERA_BOTH constexpr Draw at(std::int64_t i) const {
    std::int64_t const e = first + i;
    return {words(key, e / block * counters + e % counters).at[e / counters % 4]};
  }
  TESSERA_BOTH constexpr Noise from(std::int64_t i) const { return {key, first + i}; }

  /// f(i, draw) for all i < n.
  template <Lane L, class F>
  TESSERA_BOTH void each(L const& lane, std::int64_t n, F f) const {
    Noise const noise = *this;
    auto const singly = [&lane, noise, f](std::int64_t begin, std::int64_t end) {
      lane.each(end - begin, [=](std::int64_t i) { f(begin + i, noise.at(begin + i)); });
    };
    std::int64_t const before = (block - first % block) % block;
    std::int64_t at = before < n ? before : n;
    singly(0, at);
    for (; at + block <= n; at += block) {
      std::int64_t const counter = (first + at) / 4;
      lane.each(counters, [=](std::int64_t i) {
        Words const w = words(noise.key, counter + i);
        f(at + i, Draw{w.at[0]});
        f(at + counters + i, Draw{w.at[1]});
        f(at + 2 * counters + i, Draw{w.at[2]});
        f(at + 3 * counters + i, Draw{w.at[3]});
      });
    }
    singly(at, n);
  }

 private:
  // Of 64 elements each 16 share 16 counters, so that the four words of a counter go to elements
  // that lie whole vectors apart.
  static constexpr std::int64_t counters = 16, block = 4 * counters;
};

/// bf16 weights or states, with nothing beside them.
struct Rounded {
  bf16* at;
  Noise noise{};  // of weights; states are written with the same draws

  TESSERA_BOTH float get(std::int64_t i) const { return float(at[i]); }
  TESSERA_BOTH void set(std::int64_t i, float x, std::uint32_t number) const {
    at[i] = round_stochastically(x, number);
  }
  TESSERA_BOTH Rounded from(std::int64_t first) const { return {at + first, noise.from(first)}; }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
