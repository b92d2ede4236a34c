/// Fusion as a rewrite of the forward graph: pairs of nodes that an op does at once. Which pairs,
/// the ops say.
#pragma once

#include <tessera/graph/graph.hpp>

#include <utility>

namespace tessera::inline TESSERA_SETTING {

/// Appends the forward nodes once more, fused where an op's Fusion allows it.
constexpr void fuse(Tape& t) {
  int const n = int(t.nodes.size());
  std::vector<int> readers(std::size_t(n), 0);
  for (Node const& x : t.nodes)
    for (int const j : x.in)
      if (j >= 0) ++readers[std::size_t(j)];
  std::vector<Fusion const*> how(std::size_t(n), nullptr);
  std::vector<char> gone(std::size_t(n), 0);
  bool any = false;
  for (int i = 0; i < n; ++i) {
    Node const& x = t.nodes[std::size_t(i)];
    if (x.role != Role::op) continue;
    for (Fusion const& f : x.op->fusions) {
      int const j = x.in[std::size_t(f.operand)];
      if (how[std::size_t(i)] || t.nodes[std::size_t(j)].op != f.inner) continue;
      if (readers[std::size_t(j)] > 1 || how[std::size_t(j)]) continue;
      how[std::size_t(i)] = &f;
      gone[std::size_t(j)] = any = true;
    }
  }
  if (!any) return;
  Nodes const before = std::move(t.nodes);
  t.nodes = {};
  std::vector<int> place(std::size_t(n), -1);
  auto const move = [&](int& j) { j = j < 0 ? j : place[std::size_t(j)]; };
  for (int i = 0; i < n; ++i) {
    if (gone[std::size_t(i)]) continue;
    Node x = before[std::size_t(i)];
    t.in_full = x.full;
    if (Fusion const* const f = how[std::size_t(i)]) {
      Node const& inner = before[std::size_t(x.in[std::size_t(f->operand)])];
      Node both{.attribute = x.attribute, .number = x.number};
      int k = 0;
      for (int e = 0; e < f->inner->inputs; ++e)
        both.in[std::size_t(k++)] = inner.in[std::size_t(e)];
      for (int e = 0; e < x.op->inputs; ++e)
        if (e != f->operand) both.in[std::size_t(k++)] = x.in[std::size_t(e)];
      for (int& j : both.in) move(j);
      place[std::size_t(i)] = append(t, *f->fused, both).id;
      continue;
    }
    for (int& j : x.in) move(j);
    for (int& e : x.extra) move(e);
    place[std::size_t(i)] = t.push(x);
  }
  t.in_full = false;
  for (int& j : t.node_of_parameter) move(j);
}

}  // namespace tessera::inline TESSERA_SETTING
