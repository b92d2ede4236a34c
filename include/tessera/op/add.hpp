/// y = a + b, y = a * b, and what gradients need: sums into a buffer.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/elementwise.hpp>
#include <tessera/op/cast.hpp>

namespace tessera::inline TESSERA_SETTING {

/// y = b + a, where b is stored in 16 bits and a and the sum are not: a residual stream.
struct AddWiden {
  static constexpr std::string_view name = "add_widen";
  static constexpr Traits traits{.overwrites = 0b10, .low_in = 0b01};
  static constexpr std::string_view saving = "cast in the residual sum";
  static constexpr Bytes saved(Signature const& s) {
    return 2 * s.out.count() * Bytes(sizeof(Real));
  }
  static constexpr Shape shape(Shape b, Shape) { return b; }
  static constexpr void adjoint(auto& d) { d.to(0, d.dy()), d.to(1, d.dy()); }
};
template <class B>
struct kernels<AddWiden, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> y, View<Low const> b, View<Real const> a) {
    team.run(kernel::Add<Real, Low>{.y = y, .a = a, .b = b});
  }
};

struct Add {
  static constexpr std::string_view name = "add";
  static constexpr Traits traits{
      .overwrites = 0b11, .low_in = 0b11, .low_out = 0b1, .follows = true};
  static constexpr std::array fusions{Fusion{0, &table<Widen>, &table<AddWiden>},
                                      Fusion{1, &table<Widen>, &table<AddWiden>}};
  static constexpr ShapeFault check(Shape a, Shape b) { return {a[-1], b[-1]}; }
  static constexpr Shape shape(Shape a, Shape b) {
    if (a != b) throw "operator+: the two values have different shapes";
    return a;
  }
  static constexpr void adjoint(auto& d) { d.to(0, d.dy()), d.to(1, d.dy()); }
};
template <class B>
struct kernels<Add, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Low const> a, View<Low const> b) {
    team.run(kernel::Add<Low>{.y = y, .a = a, .b = b});
  }
};

/// out += x, or out = x for the first contribution: how a gradient reaches the flat buffer when the
/// op that made it cannot add by itself.
struct AddInto {
  static constexpr std::string_view name = "add_into";
  static constexpr Traits traits{.accumulates = 1};
  static constexpr auto adjoint = backward_only;
  static constexpr Shape shape(Shape x) { return x; }
};
template <class B>
struct kernels<AddInto, B> {
  template <Team T>
  static void run(T const& team, View<Real> y, View<Real const> x) {
    if (team.accumulate[0])
      team.run(kernel::Accumulate<Real>{.y = y, .x = x});
    else
      team.run(kernel::Convert<Real, Real>{.y = y, .x = x});
  }
};

struct Multiply {
  static constexpr std::string_view name = "multiply";
  static constexpr Traits traits{
      .overwrites = 0b11, .low_in = 0b11, .low_out = 0b1, .follows = true};
  static constexpr ShapeFault check(Shape a, Shape b) { return {a[-1], b[-1]}; }
  static constexpr Shape shape(Shape a, Shape b) {
    if (a != b) throw "operator*: the two values have different shapes";
    return a;
  }
  static constexpr void adjoint(auto& d) {
    d.to(0, apply<Multiply>(d.dy(), d.in(1)));
    d.to(1, apply<Multiply>(d.dy(), d.in(0)));
  }
};
template <class B>
struct kernels<Multiply, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Low const> a, View<Low const> b) {
    team.run(kernel::Multiply<Low>{.y = y, .a = a, .b = b});
  }
};
static_assert(complete<Add> && complete<AddWiden> && complete<AddInto> && complete<Multiply>);

constexpr Value operator+(Value a, Value b) {
  return apply<Add>(a, b);
}
constexpr Value operator*(Value a, Value b) {
  return apply<Multiply>(a, b);
}

}  // namespace tessera::inline TESSERA_SETTING
