/// Precision as a rewrite of the forward graph: parameters and what ops make of them are stored in
/// 16 bits; what flows between segments, and what no op declares, stays real.
#pragma once

#include <tessera/graph/graph.hpp>

#include <utility>

namespace tessera::inline TESSERA_SETTING {

/// Appends the forward nodes once more, with the types that their ops ask for and the casts between
/// them. Nodes that come later, those of the backward pass, follow the same rule.
constexpr void store_low(Tape& t, DType low, Op const& narrow, Op const& widen) {
  if (low == DType::real) return;
  Nodes const before = std::move(t.nodes);
  t.nodes = {};
  t.low = low, t.narrow = &narrow, t.widen = &widen;
  int const n = int(before.size());
  std::vector<int> place(n, -1);
  for (int i = 0; i < n; ++i) {
    Node x = before[i];
    if (x.role == Role::extra) continue;  // its op makes it
    if (x.role == Role::parameter) x.dtype = low;
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
  for (int& j : t.node_of_parameter) j = j < 0 ? j : place[j];
  stored_as(t, place[n - 1], DType::real);  // the last node is the result
}

}  // namespace tessera::inline TESSERA_SETTING
