/// Random numbers without state: a pure function of (seed, stream, index), so no rank and no layout
/// can change what is drawn. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
/// 1, 2, 3", 2011) turns a counter into four words; seed is its key, index and stream the counter.
#pragma once

#include <tessera/core/direction.hpp>
#include <tessera/core/setting.hpp>

#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

struct Words {
  std::uint32_t at[4];  // a plain array: device code indexes it
  bool operator==(Words const&) const = default;
};

namespace detail {

inline constexpr int philox_rounds = 10;

TESSERA_BOTH constexpr Words philox_round(Words c, int round, std::uint32_t key0,
                                          std::uint32_t key1) {
  std::uint64_t const a = std::uint64_t(0xD2511F53u) * c.at[0];
  std::uint64_t const b = std::uint64_t(0xCD9E8D57u) * c.at[2];
  std::uint32_t const k0 = key0 + std::uint32_t(round) * 0x9E3779B9u;
  std::uint32_t const k1 = key1 + std::uint32_t(round) * 0xBB67AE85u;
  return {{std::uint32_t(b >> 32) ^ c.at[1] ^ k0, std::uint32_t(b),
           std::uint32_t(a >> 32) ^ c.at[3] ^ k1, std::uint32_t(a)}};
}

/// On N counters side by side (a loop that vectorises).
template <int N>
TESSERA_BOTH constexpr void philox(std::uint32_t (&c)[4][N], std::uint32_t key0,
                                   std::uint32_t key1) {
  for (int round = 0; round < philox_rounds; ++round)
    for (int j = 0; j < N; ++j) {
      Words const w = philox_round({{c[0][j], c[1][j], c[2][j], c[3][j]}}, round, key0, key1);
      c[0][j] = w.at[0], c[1][j] = w.at[1], c[2][j] = w.at[2], c[3][j] = w.at[3];
    }
}

/// On one, without a loop, so that a loop around it vectorises.
template <int... Round>
[[gnu::always_inline]] TESSERA_BOTH constexpr Words philox(Words c, std::uint32_t key0,
                                                           std::uint32_t key1,
                                                           std::integer_sequence<int, Round...>) {
  ((c = philox_round(c, Round, key0, key1)), ...);
  return c;
}

}  // namespace detail

/// Philox4x32 with ten rounds.
[[gnu::always_inline]] TESSERA_BOTH constexpr Words philox(Words counter, std::uint32_t key0,
                                                           std::uint32_t key1) {
  return detail::philox(counter, key0, key1,
                        std::make_integer_sequence<int, detail::philox_rounds>{});
}

/// Spreads every bit of x over all bits (the finaliser of splitmix64); a bijection.
TESSERA_BOTH constexpr std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// FNV-1a over the bytes, then mixed: a parameter path as a stream.
constexpr std::uint64_t stream_of(std::string_view path) {
  std::uint64_t h = 0xCBF29CE484222325u;
  for (char const c : path) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return mixed(h);
}

/// Names one endless row of random numbers.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;

  constexpr RandomKey() = default;
  constexpr RandomKey(std::uint64_t seed_, std::string_view path)
      : seed(seed_), stream(stream_of(path)) {}

  /// A row of its own for every n, say of a step or an epoch.
  TESSERA_BOTH constexpr RandomKey at(std::uint64_t n) const {
    RandomKey k = *this;
    k.stream = mixed(stream + (n + 1) * 0x9E3779B97F4A7C15u);
    return k;
  }
  bool operator==(RandomKey const&) const = default;
};

namespace detail {

/// The words of blocks first .. first + N - 1 of the row, word k of block j at [k][j].
template <int N>
TESSERA_BOTH constexpr void draw(RandomKey key, std::int64_t first, std::uint32_t (&w)[4][N]) {
  for (int j = 0; j < N; ++j) {
    std::uint64_t const block = static_cast<std::uint64_t>(first + j);
    w[0][j] = std::uint32_t(block);
    w[1][j] = std::uint32_t(block >> 32);
    w[2][j] = std::uint32_t(key.stream);
    w[3][j] = std::uint32_t(key.stream >> 32);
  }
  philox(w, std::uint32_t(key.seed), std::uint32_t(key.seed >> 32));
}

}  // namespace detail

/// Four words at once; numbers 4 * block .. 4 * block + 3 of the row come from them.
[[gnu::always_inline]] TESSERA_BOTH constexpr Words words(RandomKey key, std::int64_t block) {
  std::uint64_t const n = static_cast<std::uint64_t>(block);
  return philox({{std::uint32_t(n), std::uint32_t(n >> 32), std::uint32_t(key.stream),
                  std::uint32_t(key.stream >> 32)}},
                std::uint32_t(key.seed), std::uint32_t(key.seed >> 32));
}

/// Evenly spread over the 2^24 multiples of 2^-24 in [0, 1).
TESSERA_BOTH constexpr float uniform(RandomKey key, std::int64_t index) {
  return float(words(key, index >> 2).at[index & 3] >> 8) * 0x1p-24f;
}

namespace detail {

/// Normal numbers are made with integers, for the reasons that core/direction.hpp gives.

/// By Chebyshev interpolation on [0, 1): x is Q32.
TESSERA_BOTH constexpr std::uint32_t log_1_plus(std::uint32_t x) {  // ln(1 + x), Q32
  std::uint32_t p = 56641284u - high(x, 8532797u);
  p = 176121893u - high(x, p);
  p = 351673680u - high(x, p);
  p = 531630874u - high(x, p);
  p = 690958147u - high(x, p);
  p = 854089478u - high(x, p);
  p = 1073161851u - high(x, p);
  p = 1431619868u - high(x, p);
  p = 2147482767u - high(x, p);
  p = 4294967292u - high(x, p);
  return high(x, p);
}

/// n < 2^52 as a double, exactly, with instructions that every vector unit has.
TESSERA_BOTH constexpr double as_double(std::uint64_t n) {
  return __builtin_bit_cast(double, n | 0x4330000000000000u) - 0x1p52;
}

/// floor(sqrt(n)) for n < 2^52: exact both ways, as sqrt of a double is correctly rounded.
TESSERA_BOTH constexpr std::int32_t root(std::uint64_t n) {
  if (!__builtin_is_constant_evaluated()) return std::int32_t(sqrt(as_double(n)));
  std::uint64_t low = 0, above = std::uint64_t(1) << 26;  // low^2 <= n < above^2
  while (above - low > 1) {
    std::uint64_t const middle = (low + above) / 2;
    (middle * middle <= n ? low : above) = middle;
  }
  return std::int32_t(low);
}

/// -2 ln u in Q46 with u = (a + 1) / 2^32.
TESSERA_BOTH constexpr std::uint64_t energy(std::uint32_t a) {
  std::uint64_t const u = __builtin_bit_cast(std::uint64_t, as_double(std::uint64_t(a) + 1));
  std::uint64_t const halvings = 1055 - (u >> 52);     // of 2^32 to u's power of two
  std::uint64_t const floor = halvings * 2977044472u;  // times ln 2, Q32
  std::uint64_t const part = log_1_plus(std::uint32_t(u >> 20));
  return (floor > part ? floor - part : 0) << 15;
}

/// Box and Muller: sqrt(-2 ln u) (cos, sin)(2 pi v) with u = (a + 1) / 2^32, v = (b + 1/2) / 2^32.
/// Three loops: the square root, with its errno, is the one that does not vectorise.
template <int N>
TESSERA_BOTH constexpr void normal_pairs(std::uint32_t const (&a)[N], std::uint32_t const (&b)[N],
                                         float (&first)[N], float (&second)[N]) {
  std::uint64_t squares[N]{};
  std::int32_t radius[N]{};  // Q23
  for (int j = 0; j < N; ++j) squares[j] = energy(a[j]);
  for (int j = 0; j < N; ++j) radius[j] = root(squares[j]);
  for (int j = 0; j < N; ++j) {
    Direction const angle = direction(b[j]);
    first[j] = float(double(radius[j]) * double(angle.cosine) * 0x1p-53);
    second[j] = float(double(radius[j]) * double(angle.sine) * 0x1p-53);
  }
}

/// Numbers 4 * first .. 4 * (first + N) - 1 of the row, number k of block j at [k][j].
template <int N>
TESSERA_BOTH constexpr void normal_blocks(RandomKey key, std::int64_t first, float (&out)[4][N]) {
  std::uint32_t w[4][N]{};
  draw(key, first, w);
  normal_pairs(w[0], w[1], out[0], out[1]);
  normal_pairs(w[2], w[3], out[2], out[3]);
}

}  // namespace detail

struct Normals {
  float at[4];
};

/// Four normal numbers (mean 0, deviation 1): numbers 4 * block .. 4 * block + 3 of the row. Within
/// 1e-6 of the exact transform; none is farther out than 6.66.
TESSERA_BOTH constexpr Normals normals(RandomKey key, std::int64_t block) {
  float n[4][1]{};
  detail::normal_blocks(key, block, n);
  return {{n[0][0], n[1][0], n[2][0], n[3][0]}};
}

TESSERA_BOTH constexpr float normal(RandomKey key, std::int64_t index) {
  return normals(key, index >> 2).at[index & 3];
}

/// out[i] = deviation * normal(key, first + i), many at a time.
template <class T>
constexpr void fill_normal(RandomKey key, std::int64_t first, std::int64_t count, float deviation,
                           T* out) {
  constexpr int blocks = 16;
  std::int64_t const end = first + count;
  for (std::int64_t at = first & ~std::int64_t(3); at < end; at += 4 * blocks) {
    float n[4][blocks]{};
    detail::normal_blocks(key, at >> 2, n);
    std::int64_t const from = at < first ? first : at;
    std::int64_t const to = end < at + 4 * blocks ? end : at + 4 * blocks;
    for (std::int64_t i = from; i < to; ++i)
      out[i - first] = T(deviation * n[(i - at) & 3][(i - at) >> 2]);
  }
}

}  // namespace tessera::inline TESSERA_SETTING
