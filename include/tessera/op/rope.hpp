/// Rotary position embedding of the first heads of [sequences, tokens, C], in place; columns behind
/// them, such as the values beside queries and keys, stay as they are. Su et al., arXiv 2104.09864.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/rope.hpp>

namespace tessera::inline TESSERA_SETTING {

/// The heads that rotate, as the one integer that a node has room for.
struct RotatedHeads {
  int count = 0, width = 0;

  TESSERA_BOTH static constexpr RotatedHeads of(int attribute) {
    return {attribute >> 16, attribute & 0xffff};
  }
  constexpr int packed() const { return count << 16 | width; }
  TESSERA_BOTH constexpr std::int64_t columns() const { return std::int64_t(count) * width; }
};

namespace detail {

struct RopeShape {  // attribute: RotatedHeads; number: theta
  static constexpr Traits traits{.overwrites = 1, .low_in = 1, .low_out = 1, .follows = true};
  static constexpr ShapeFault check(Shape x, int heads) {
    std::int64_t const needs = RotatedHeads::of(heads).columns();
    return x[-1] < needs ? ShapeFault{x[-1], needs} : ShapeFault{};
  }
  static constexpr Shape shape(Shape x, int heads) {
    if (x.rank != 3) throw "rope: expects [sequences, tokens, C]";
    if (x[1] >= 1 << 21) throw "rope: a sequence has fewer than 2^21 tokens";
    if (check(x, heads)) throw "rope: the value has fewer columns than heads times their width";
    return x;
  }
  static constexpr double flops(Signature const& s) {
    return 3.0 * double(s.out.rows() * RotatedHeads::of(s.attribute).columns());
  }
};

template <RopeLayout Layout, Team T, class Low>
TESSERA_BOTH void rotate(T const& team, View<Low> y, View<Low const> x, bool back) {
  RotatedHeads const heads = RotatedHeads::of(team.attribute);
  team.run(kernel::Rope<Low, Layout>{.y = y,
                                     .x = x,
                                     .heads = heads.count,
                                     .width = heads.width,
                                     .speeds = kernel::RopeSpeeds::of(team.number, heads.width),
                                     .back = back});
}

}  // namespace detail

template <RopeLayout Layout>
struct RotateBack : detail::RopeShape {
  static constexpr std::string_view name = "rope_dx";
  static constexpr auto adjoint = backward_only;
};
template <RopeLayout Layout>
struct Rotate : detail::RopeShape {
  static constexpr std::string_view name = "rope";
  static constexpr void adjoint(auto& d) {
    d.to(0, apply<RotateBack<Layout>>(d.settings(), d.dy()));
  }
};
template <RopeLayout Layout, class B>
struct kernels<Rotate<Layout>, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Low const> x) {
    detail::rotate<Layout>(team, y, x, false);
  }
};
template <RopeLayout Layout, class B>
struct kernels<RotateBack<Layout>, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> dx, View<Low const> dy) {
    detail::rotate<Layout>(team, dx, dy, true);
  }
};
static_assert(complete<Rotate<RopeLayout::half_split>> &&
              complete<RotateBack<RopeLayout::half_split>> &&
              complete<Rotate<RopeLayout::interleaved>> &&
              complete<RotateBack<RopeLayout::interleaved>>);

/// The first `heads` heads of the last dimension rotate, `width` columns each. A position is a
/// token's index in its sequence, theta the base of the angles.
template <RopeLayout Layout = RopeLayout::half_split>
constexpr Value rope(Value x, int heads, int width, double theta = 10'000) {
  if (!x.trace->probing) {
    if (width < 2 || width % 2 != 0 || width > kernel::RopeSpeeds::most_width)
      throw "rope: elements of a head rotate in pairs: its width must be even, 2 to 2048";
    if (heads < 1 || heads > 0x7fff) throw "rope: 1 to 32767 heads rotate";
  }
  return apply<Rotate<Layout>>({.attribute = RotatedHeads{heads, width}.packed(), .number = theta},
                               x);
}

}  // namespace tessera::inline TESSERA_SETTING
