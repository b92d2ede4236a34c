/// Which attention goes to cuDNN, how much of it at a time, and in how much memory: known before
/// there is a GPU, so that a plan counts it.
#pragma once

#include <tessera/backend/attention_call.hpp>
#include <tessera/core/bytes.hpp>

#include <string_view>

namespace tessera::inline TESSERA_SETTING::cudnn {

/// What one call covers: whole sequences, or in one sequence the query heads of some heads of keys.
struct Piece {
  std::int64_t sequences = 0, kv_heads = 0;

  constexpr bool operator==(Piece const&) const = default;
};

/// A backward pass in a fixed order writes a score of every query and key, 16 bits each. Pieces are
/// the largest that stay within `enough`; one that cannot be smaller, within `most`.
struct Limits {
  Bytes enough = 256_MiB, most = 2_GiB;
};

/// Bytes that a call may ask for. cuDNN 9.19 asks for scores in whole tiles (nothing on sm_100), of
/// grouped heads for gradients of keys and values before they are added, and for a sum per query.
constexpr Bytes room_of(AttentionTask const& t, Piece const& p) {
  AttentionShape const& s = t.shape;
  std::int64_t const tokens = round_up(s.tokens, 128);
  Bytes const sums = p.sequences * p.kv_heads * s.group() * tokens * Bytes(sizeof(float));
  if (!t.backward) return 1_MiB + sums;
  return 1_MiB + sums / 2 * tokens + sums * (s.group() > 1 ? 2 * s.width + 2 : 2);
}

constexpr std::int64_t largest_divisor(std::int64_t n, auto const& fits) {
  for (std::int64_t d = n; d > 0; --d)
    if (n % d == 0 && fits(d)) return d;
  return 0;
}

/// Nothing, if one head of keys needs more than there may be. Every piece's log-sum-exp begins at a
/// multiple of 16 bytes.
constexpr Piece piece_of(AttentionTask const& t, Limits const& limits = {}) {
  AttentionShape const& s = t.shape;
  Piece const all{s.batch, s.kv_heads}, least{1, 1};
  if (!t.backward) return all;
  auto const within = [&](Piece const& p, Bytes bytes) {
    bool const begins = p == all || p.sequences * p.kv_heads * s.group() * s.tokens % 4 == 0;
    return begins && room_of(t, p) <= bytes;
  };
  std::int64_t const sequences = largest_divisor(s.batch, [&](std::int64_t d) {
    return within({d, s.kv_heads}, limits.enough);
  });
  if (sequences > 0) return {sequences, s.kv_heads};
  std::int64_t const heads = largest_divisor(s.kv_heads, [&](std::int64_t d) {
    return within({1, d}, limits.enough);
  });
  if (heads > 0) return {1, heads};
  return within(least, limits.most) ? least : Piece{};
}

inline constexpr std::string_view by_cudnn = "cuDNN";

/// Who computes it, unless cuDNN refuses; in words, for a plan's text.
constexpr std::string_view choice(AttentionTask const& t, Limits const& limits = {}) {
  if (t.type == DType::real || sizeof(Real) != sizeof(float))
    return "own kernels, as values are float";
  if (t.documents) return "own kernels, as rows hold several documents";
  if (t.shape.width % 8 != 0) return "own kernels, as heads are no multiple of 8 wide";
  if (t.shape.width > 256) return "own kernels, as heads are wider than 256";
  if (piece_of(t, limits) == Piece{}) return "own kernels, as scores take too much workspace";
  return by_cudnn;
}
constexpr bool asks(AttentionTask const& t, Limits const& limits = {}) {
  return choice(t, limits) == by_cudnn;
}

/// Bytes of workspace; 0: cuDNN is not asked.
constexpr Bytes workspace_of(AttentionTask const& t, Limits const& limits = {}) {
  return asks(t, limits) ? aligned(room_of(t, piece_of(t, limits))) : 0;
}

}  // namespace tessera::inline TESSERA_SETTING::cudnn
