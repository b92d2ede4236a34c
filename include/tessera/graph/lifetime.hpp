/// Where a segment's values live: buffer reuse, lifetimes, and arena offsets.
#pragma once

#include <tessera/graph/graph.hpp>

#include <algorithm>
#include <span>

namespace tessera::inline TESSERA_SETTING {

enum class Region : std::uint8_t {
  none,
  parameter,
  gradient,
  batch,
  input,            // the previous segment's output
  output,           // the segment's output
  output_gradient,  // its gradient, from the next segment
  input_gradient,   // for the previous segment
  kept,    // made by forward, read by backward: one copy per layer and micro-batch in flight
  scratch  // lives inside one part: one arena, shared by all layers
};

struct Slot {
  Region region = Region::none;
  Bytes offset = 0;
  Bytes bytes = 0;
};

struct Lifetimes {
  std::vector<Slot> slots;
  Bytes kept = 0, scratch = 0;
  Bytes scratch_alive = 0;  // most scratch bytes alive at once: no packing can be smaller
};

constexpr Bytes bytes_of(Node const& n) {
  return aligned(n.shape.count() * size_of(n.dtype));
}

constexpr int forward_nodes(std::span<Node const> g) {
  int n = 0;
  for (Node const& x : g) n += x.part == Part::forward;
  return n;
}

namespace detail {

constexpr int home(std::span<Node const> g, int i) {
  while (g[i].alias >= 0) i = g[i].alias;
  return i;
}

/// Places that are fixed by what the value is, whatever its lifetime.
constexpr Region fixed_region(std::span<Node const> g, int i, bool loss) {
  int const result = forward_nodes(g) - 1;
  if (g[i].grad_of >= 0) return Region::gradient;
  switch (g[i].role) {
    case Role::parameter: return Region::parameter;
    case Role::data: return Region::batch;
    case Role::input: return Region::input;
    case Role::seed: return loss ? Region::none : Region::output_gradient;
    case Role::op:
    case Role::extra: break;
  }
  if (i == result) return loss ? Region::kept : Region::output;
  for (Node const& x : g) {
    if (x.role == Role::input && x.grad == i) return Region::input_gradient;
    if (x.op && x.op->traits.result_in_backward > 0 &&
        x.extra[x.op->traits.result_in_backward - 1] == i)
      return Region::kept;
  }
  return Region::none;
}

}  // namespace detail

/// Lets an output take an operand's buffer where its op allows it and nobody reads the operand
/// later.
constexpr void reuse_buffers(Nodes& g, bool loss) {
  int const n = int(g.size());
  std::vector<int> last(n, -1);
  for (int i = 0; i < n; ++i)
    for (int j : g[i].in)
      if (j >= 0) last[j] = i;
  auto const taken = [&](int v) {
    for (int i = 0; i < n; ++i)
      if (g[i].alias == v) return true;
    return false;
  };
  auto const try_alias = [&](int i, int at, int operand) {
    int const v = g[at].in[operand];
    if (v < 0 || (g[v].role != Role::op && g[v].role != Role::extra)) return;
    int reads = 0;
    for (int j : g[at].in) reads += j == v;
    bool const special = detail::fixed_region(g, v, loss) != Region::none;
    if (last[v] != at || reads != 1 || special || taken(v) || g[i].grad_of >= 0 ||
        bytes_of(g[v]) != bytes_of(g[i]) || size_of(g[v].dtype) != size_of(g[i].dtype))
      return;
    // A value kept for backward may only move into a place that is there for backward as well.
    if (g[v].part != g[i].part && detail::fixed_region(g, i, loss) != Region::none) return;
    g[i].alias = v;
  };
  for (int i = 0; i < n; ++i) {
    if (!g[i].op) continue;
    for (int k = 0; k < g[i].op->inputs; ++k) {
      if (g[i].alias < 0 && (g[i].op->traits.overwrites >> k & 1u)) try_alias(i, i, k);
      if (int const e = g[i].extra[0];
          e >= 0 && g[e].alias < 0 && (g[i].op->traits.extra_overwrites >> k & 1u))
        try_alias(e, i, k);
    }
  }
}

/// Kept values lie one after another; scratch is packed greedily, best fit, largest value first.
constexpr Lifetimes lay_out(std::span<Node const> g, bool loss) {
  int const n = int(g.size()), forward = forward_nodes(g);
  struct Life {
    int birth = 0, death = 0;
    bool crosses = false;
    Region fixed = Region::none;
  };
  std::vector<Life> life(n, Life{});
  for (int i = 0; i < n; ++i) life[i] = {i, i, false, detail::fixed_region(g, i, loss)};
  // Extras stand before their op: the op's inputs must still be intact when extras are written.
  for (int i = 0; i < n; ++i) {
    for (int j : g[i].in)
      if (j >= 0) life[j].death = std::max(life[j].death, i);
    for (int e : g[i].extra)
      if (e >= 0) life[e].death = std::max(life[e].death, i);
  }
  for (int i = 0; i < n; ++i) {
    if (g[i].alias < 0) continue;
    Life& root = life[detail::home(g, i)];
    root.birth = std::min(root.birth, life[i].birth);
    root.death = std::max(root.death, life[i].death);
    if (life[i].fixed != Region::none) root.fixed = life[i].fixed;
  }
  Lifetimes out;
  out.slots.resize(n);
  std::vector<int> todo;
  for (int i = 0; i < n; ++i) {
    if (g[i].alias >= 0) continue;
    Slot& s = out.slots[i];
    s.bytes = bytes_of(g[i]);
    s.region = life[i].fixed;
    if (s.region == Region::none)
      s.region = i < forward && life[i].death >= forward ? Region::kept : Region::scratch;
    if (s.region == Region::kept) s.offset = out.kept, out.kept += s.bytes;
    if (s.region == Region::scratch) todo.push_back(i);
  }
  std::vector<Bytes> change(n + 1, 0);
  for (int i : todo)
    change[life[i].birth] += out.slots[i].bytes, change[life[i].death + 1] -= out.slots[i].bytes;
  Bytes alive = 0;
  for (Bytes c : change) {
    alive += c;
    out.scratch_alive = std::max(out.scratch_alive, alive);
  }
  std::sort(todo.begin(), todo.end(), [&](int a, int b) {
    return out.slots[a].bytes != out.slots[b].bytes ? out.slots[a].bytes > out.slots[b].bytes
                                                    : a < b;
  });
  std::vector<int> placed;  // ascending offset
  for (int i : todo) {
    Bytes const want = out.slots[i].bytes;
    Bytes best = -1, best_gap = 0, top = 0;
    for (int p : placed) {
      if (life[p].death < life[i].birth || life[i].death < life[p].birth) continue;
      Bytes const gap = out.slots[p].offset - top;
      if (gap >= want && (best < 0 || gap < best_gap)) best = top, best_gap = gap;
      top = std::max(top, out.slots[p].offset + out.slots[p].bytes);
    }
    out.slots[i].offset = best >= 0 ? best : top;
    std::size_t k = 0;
    while (k < placed.size() && out.slots[placed[k]].offset <= out.slots[i].offset) ++k;
    placed.insert(placed.begin() + std::ptrdiff_t(k), i);
    out.scratch = std::max(out.scratch, out.slots[i].offset + want);
  }
  for (int i = 0; i < n; ++i)
    if (g[i].alias >= 0) out.slots[i] = out.slots[detail::home(g, i)];
  return out;
}

/// No two values that are alive at the same time share a byte, unless one took the other's buffer.
constexpr bool disjoint(std::span<Node const> g, Lifetimes const& l) {
  int const n = int(g.size());
  std::vector<int> death(n, 0);
  for (int i = 0; i < n; ++i) {
    death[i] = std::max(death[i], i);
    for (int j : g[i].in)
      if (j >= 0) death[j] = i;
    for (int e : g[i].extra)
      if (e >= 0) death[e] = std::max(death[e], i);
  }
  for (int a = 0; a < n; ++a)
    for (int b = a + 1; b < n && b <= death[a]; ++b) {
      Slot const &x = l.slots[a], &y = l.slots[b];
      bool const same_place = x.region == y.region &&
                              (x.region == Region::scratch || x.region == Region::kept) &&
                              x.offset < y.offset + y.bytes && y.offset < x.offset + x.bytes;
      if (same_place && detail::home(g, a) != detail::home(g, b)) return false;
    }
  return true;
}

}  // namespace tessera::inline TESSERA_SETTING
