/// Precision as a rewrite of the forward graph: parameters and what ops make of them are stored in
/// 16 bits; what flows between segments, what no op declares, and what is kept in float stays real.
#pragma once

#include <tessera/graph/graph.hpp>

#include <utility>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

/// Which nodes compute in real although others are stored in 16 bits: ops that read a parameter
/// that stays real, and ops between such, whose operands they have made. Where every parameter
/// stays real, the segment's input counts as made by them.
constexpr std::vector<char> full_nodes(Nodes const& g, std::vector<char> const& full) {
  enum : char { low, either, real };
  bool all = !full.empty();
  for (char const f : full) all = all && f;
  std::vector<char> is(g.size(), either);
  for (std::size_t i = 0; i < g.size(); ++i) {
    Node const& x = g[i];
    if (x.role == Role::parameter)
      is[i] = !full.empty() && full[std::size_t(x.parameter)] ? real : low;
    if (x.role == Role::input && all) is[i] = real;
    if (x.role != Role::op) continue;
    bool reads = false, any_low = false, any_real = false;
    for (int const j : x.in) {
      if (j < 0) continue;
      char const made = is[std::size_t(j)];
      reads = reads || (g[std::size_t(j)].role == Role::parameter && made == real);
      any_low = any_low || made == low, any_real = any_real || made == real;
    }
    is[i] = reads || (any_real && !any_low) ? real : low;
    for (int const e : x.extra)
      if (e >= 0) is[std::size_t(e)] = is[i];
  }
  for (char& c : is) c = c == real;
  return is;
}

}  // namespace detail

/// Appends the forward nodes once more, with the types that their ops ask for and the casts between
/// them. Nodes that come later, those of the backward pass, follow the same rule.
constexpr void store_low(Tape& t, DType low, Op const& narrow, Op const& widen) {
  if (low == DType::real) return;
  Nodes const before = std::move(t.nodes);
  t.nodes = {};
  t.low = low, t.narrow = &narrow, t.widen = &widen;
  int const n = int(before.size());
  std::vector<int> place(n, -1);
  std::vector<char> const full = detail::full_nodes(before, t.full);
  for (int i = 0; i < n; ++i) {
    Node x = before[i];
    if (x.role == Role::extra) continue;  // its op makes it
    t.in_full = full[i];
    if (x.role == Role::parameter && !full[i]) x.dtype = low;
    if (x.role != Role::op) {
      place[i] = t.push(x);
      continue;
    }
    for (int& j : x.in) j = j < 0 ? j : place[j];
    for (int& e : x.extra) e = -1;
    place[i] = append(t, *x.op, x).id;
    for (int k = 0; k < extras; ++k)
      if (before[i].extra[k] >= 0) place[before[i].extra[k]] = t.nodes[place[i]].extra[k];
  }
  t.in_full = false;
  for (int& j : t.node_of_parameter) j = j < 0 ? j : place[j];
  stored_as(t, place[n - 1], DType::real);  // the last node is the result
}

}  // namespace tessera::inline TESSERA_SETTING
