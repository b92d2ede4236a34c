/// Self-attention on cores. Scores exist for one tile of queries and keys at a time, on the stack
/// of the thread that works on it (below 320 KiB), so memory is linear in tokens.
#pragma once

#include <tessera/backend/attention_call.hpp>
#include <tessera/backend/cpu/attention_tile.hpp>
#include <tessera/backend/cpu/team.hpp>
#include <tessera/kernels/elementwise.hpp>

#include <cstddef>

namespace tessera::inline TESSERA_SETTING {

/// Heads that tiles are made for: whole vectors of eight.
constexpr bool has_attention_tiles(std::int64_t width) {
  return sizeof(Real) == sizeof(float) && width >= 8 && width <= simd::widest && width % 8 == 0;
}

/// In the operands' buffer the rows of a head are far apart. Of few tokens they stay in a cache all
/// the same; of more than these, tiles read copies that lie together.
inline constexpr std::int64_t most_tokens_in_place = 2048;
constexpr bool gathers_keys(AttentionShape const& s) {
  return has_attention_tiles(s.width) && s.tokens > most_tokens_in_place;
}

/// Keys and values of all heads, or their gradients: [batch, kv_heads, 2, tokens, padded].
constexpr std::int64_t key_elements(AttentionShape const& s, std::int64_t width) {
  return s.batch * s.kv_heads * 2 * s.tokens * width;
}

/// Bytes of workspace of a call, forward or backward: copies of keys and values, and what is summed
/// or computed in Real where operands are stored otherwise.
constexpr Bytes attention_workspace(AttentionShape const& s, DType type) {
  std::int64_t elements = 0;
  if (!has_attention_tiles(s.width))
    elements = type == DType::real ? 0 : 2 * s.batch * s.tokens * (s.packed() + s.all());
  else if (gathers_keys(s))
    elements = key_elements(s, simd::padded(int(s.width))) + key_elements(s, s.width);
  else if (type != DType::real)
    elements = key_elements(s, s.width);
  return elements * Bytes(sizeof(Real));
}

namespace detail {

/// Query heads of all sequences; head r is number r % heads of sequence r / heads.
struct TiledHeads {
  AttentionShape s;
  AttentionOperands x;
  void const* dy;
  DType type;
  float* gathered;  // copies of keys and values; null: they are read in place

  simd::Rows rows(void const* base, std::int64_t offset, std::int64_t stride) const {
    auto* const at = static_cast<std::byte*>(const_cast<void*>(base));
    return {at ? at + offset * size_of(type) : nullptr, std::ptrdiff_t(stride), type};
  }
  simd::Head operator[](std::int64_t r) const {
    kernel::detail::HeadPlace const place{s};
    return {rows(x.qkv, place.queries(r), s.packed()),
            gathered ? copy(r, 0) : rows(x.qkv, place.keys(r), s.packed()),
            gathered ? copy(r, 1) : rows(x.qkv, place.values(r), s.packed()),
            rows(x.y, place.plain(r), s.all()),
            rows(dy, place.plain(r), s.all()),
            int(s.tokens),
            int(s.width),
            kernel::Visible::of(s, x.documents, place.sequence(r))};
  }
  /// Of the keys (0) or values (1) that query head r reads.
  simd::Rows copy(std::int64_t r, int which) const {
    int const padded = simd::padded(int(s.width));
    float* const at = gathered + (r / s.group() * 2 + which) * s.tokens * padded;
    return {reinterpret_cast<std::byte*>(at), padded, DType::real};
  }
  void gather() const {
    if (gathered == nullptr) return;
    kernel::detail::HeadPlace const place{s};
    std::int64_t const piece = 64, pieces = (s.tokens + piece - 1) / piece;
    int const width = int(s.width), padded = simd::padded(width);
#pragma omp parallel for collapse(2) schedule(static)
    for (std::int64_t row = 0; row < s.batch * s.kv_heads; ++row)
      for (std::int64_t t = 0; t < pieces; ++t)
        for (int which : {0, 1}) {
          std::int64_t const r = row * s.group(), first = t * piece;
          std::int64_t const offset = which ? place.values(r) : place.keys(r);
          simd::copy_rows(rows(x.qkv, offset, s.packed()).from(first),
                          int(std::min(piece, s.tokens - first)), width, padded,
                          copy(r, which).from(first).floats());
        }
  }
};

/// A tile of queries is a task of its own, so few heads still use every thread.
inline void tiled_forward(TiledHeads const& all) {
  AttentionShape const& s = all.s;
  int const size = simd::tile_size(int(s.width)), tiles = (int(s.tokens) + size - 1) / size;
  auto const tile = [&](std::int64_t r, int t) {
    simd::attend(all[r], t * size, reinterpret_cast<float*>(all.x.log_sum) + r * s.tokens);
  };
  all.gather();
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (std::int64_t r = 0; r < s.batch * s.heads; ++r)
    for (int t = 0; t < tiles; ++t) tile(r, t);
}

/// A key and value head is a task: its query heads add to its gradient in order. sums: where that
/// happens, [batch, kv_heads, 2, tokens, width]; null: in dqkv, which holds floats then.
inline void tiled_backward(TiledHeads const& all, void* dqkv, float* sums) {
  AttentionShape const& s = all.s;
  kernel::detail::HeadPlace const place{s};
  auto const serve = [&](std::int64_t row) {
    std::int64_t const first = row * s.group();
    simd::Rows const dk = all.rows(dqkv, place.keys(first), s.packed()),
                     dv = all.rows(dqkv, place.values(first), s.packed());
    std::int64_t const one = s.tokens * s.width;
    simd::KeyGradients to{dk.floats(), dv.floats(), dk.stride, false};
    float* const own = sums ? sums + row * 2 * one : nullptr;
    if (own) to = {own, own + one, std::ptrdiff_t(s.width), false};
    for (std::int64_t r = first; r < first + s.group(); ++r, to.add = true)
      simd::attend_back(all[r], reinterpret_cast<float*>(all.x.log_sum) + r * s.tokens,
                        all.rows(dqkv, place.queries(r), s.packed()), to);
    if (!own) return;
    simd::write_rows(to.k, nullptr, int(s.tokens), int(s.width), int(s.width), dk);
    simd::write_rows(to.v, nullptr, int(s.tokens), int(s.width), int(s.width), dv);
  };
  all.gather();
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t row = 0; row < s.batch * s.kv_heads; ++row) serve(row);
}

template <class To, class From>
void convert(void const* from, std::int64_t n, void* to) {
  CpuTeam{}.run(kernel::Convert<To, From>{.y = {static_cast<To*>(to), shape_of(n)},
                                          .x = {static_cast<From const*>(from), shape_of(n)}});
}
/// A copy in Real of an operand that is stored otherwise.
inline Real* widened(DType type, void const* from, std::int64_t n, Real*& workspace) {
  Real* const to = workspace;
  workspace += n;
  type == DType::bf16 ? convert<Real, bf16>(from, n, to) : convert<Real, fp16>(from, n, to);
  return to;
}
inline void narrowed(DType type, Real const* from, std::int64_t n, void* to) {
  type == DType::bf16 ? convert<bf16, Real>(from, n, to) : convert<fp16, Real>(from, n, to);
}

}  // namespace detail

/// y and log_sum of the operands.
inline void attention_forward(AttentionShape const& s, DType type, AttentionOperands const& x,
                              void* workspace) {
  if (has_attention_tiles(s.width))
    return detail::tiled_forward(
        {s, x, nullptr, type, gathers_keys(s) ? static_cast<float*>(workspace) : nullptr});
  std::int64_t const rows = s.batch * s.tokens;
  auto* room = static_cast<Real*>(workspace);
  bool const low = type != DType::real;
  auto const* const qkv =
      low ? detail::widened(type, x.qkv, rows * s.packed(), room) : static_cast<Real const*>(x.qkv);
  Real* const y = low ? room : static_cast<Real*>(x.y);
  CpuTeam{}.run(kernel::Attention<Real>{y, x.log_sum, qkv, s, x.documents});
  if (low) detail::narrowed(type, y, rows * s.all(), x.y);
}

/// The gradient of qkv, from that of y and what forward has left.
inline void attention_backward(AttentionShape const& s, DType type, AttentionOperands const& x,
                               void const* dy, void* dqkv, void* workspace) {
  if (has_attention_tiles(s.width)) {
    auto* const room = static_cast<float*>(workspace);
    if (gathers_keys(s))
      return detail::tiled_backward({s, x, dy, type, room}, dqkv,
                                    room + key_elements(s, simd::padded(int(s.width))));
    return detail::tiled_backward({s, x, dy, type, nullptr}, dqkv,
                                  type == DType::real ? nullptr : room);
  }
  std::int64_t const rows = s.batch * s.tokens;
  if (type == DType::real) {
    CpuTeam{}.run(kernel::AttentionInput<Real>{
        static_cast<Real*>(dqkv), static_cast<Real const*>(dy), static_cast<Real const*>(x.qkv),
        static_cast<Real const*>(x.y), x.log_sum, s, x.documents});
    return;
  }
  auto* room = static_cast<Real*>(workspace);
  Real const *const qkv = detail::widened(type, x.qkv, rows * s.packed(), room),
                    *const y = detail::widened(type, x.y, rows * s.all(), room),
                    *const up = detail::widened(type, dy, rows * s.all(), room);
  CpuTeam{}.run(kernel::AttentionInput<Real>{room, up, qkv, y, x.log_sum, s, x.documents});
  detail::narrowed(type, room, rows * s.packed(), dqkv);
}

/// What ops see of it.
struct CpuAttention {
  AttentionTask task;

  static constexpr Bytes workspace(AttentionTask const& t) {
    return attention_workspace(t.shape, t.type);
  }
  /// There is none, and nothing to say of it.
  static constexpr std::string_view choice(AttentionTask const&) { return {}; }
  std::string_view remark() const { return {}; }
  void forward(AttentionOperands const& x, void* workspace, void*) const {
    attention_forward(task.shape, task.type, x, workspace);
  }
  void backward(AttentionOperands const& x, void const* dy, void* dqkv, void* workspace,
                void*) const {
    attention_backward(task.shape, task.type, x, dy, dqkv, workspace);
  }
};

}  // namespace tessera::inline TESSERA_SETTING
