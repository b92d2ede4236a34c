// static
#include <tessera/core/fields.hpp>

namespace {

using namespace tessera;

struct None {};
struct One {
  int only_member;
};
struct Inner {
  float x, y;
};
struct Mixed {
  Inner inner{};
  int count = 3;
  double weights[1]{};
  bool last_ = true;
};
struct Sixteen {
  int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p;
};
static_assert(field_count<None> == 0 && field_count<One> == 1 && field_count<Inner> == 2);
static_assert(field_count<Mixed> == 4 && field_count<Sixteen> == 16 && most_fields == 16);
static_assert(field_name<One, 0> == "only_member");
static_assert(field_name<Mixed, 0> == "inner" && field_name<Mixed, 3> == "last_");
static_assert(field_name<Sixteen, 15> == "p");
static_assert(std::is_same_v<field_type<Mixed, 0>, Inner>);
static_assert(std::is_same_v<field_type<Mixed, 3>, bool>);

// Every member is visited once, in order, and can be changed.
constexpr bool visits_in_order = [] {
  Sixteen s{};
  int next = 0;
  bool in_order = true;
  for_each_field(s, [&]<int I>(int& member) {
    in_order &= I == next++;
    member = I * I;
  });
  return in_order && next == 16 && s.a == 0 && s.c == 4 && s.p == 225;
}();
static_assert(visits_in_order);
static_assert([] {
  int calls = 0;
  None none{};
  for_each_field(none, [&]<int I>(auto&) { ++calls; });
  return calls;
}() == 0);

}  // namespace
