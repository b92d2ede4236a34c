/// One op alone: traced on a tape, then its kernel called on given values.
#pragma once

#include <tessera/graph/op.hpp>

#include <vector>

namespace tessera::test {

/// f(Value) -> Value appends one op that reads nothing but its argument; returns its output.
template <class F>
std::vector<Real> alone(F const& f, Shape shape, std::vector<Real> x) {
  Tape t;
  Value const y = f(Value{&t, t.push({.role = Role::input, .shape = shape})});
  Node const& n = t.nodes[std::size_t(y.id)];
  std::vector<Real> out(std::size_t(n.shape.count())), more;
  Call c{.out = {out.data(), n.shape}, .attribute = n.attribute, .number = n.number};
  c.in[0] = {x.data(), shape};
  if (n.extra[0] >= 0) {
    Shape const s = t.nodes[std::size_t(n.extra[0])].shape;
    more.resize(std::size_t(s.count()));
    c.extra[0] = {more.data(), s};
  }
  n.op->kernel[std::size_t(n.low)][0](c);
  return out;
}

}  // namespace tessera::test
