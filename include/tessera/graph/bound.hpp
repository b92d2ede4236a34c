/// A graph as it runs: each op bound to a backend's kernel for the type that its node stores. The
/// tables that passes see name every kernel of an op; the compiler makes code for those bound here.
#pragma once

#include <tessera/graph/graph.hpp>

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// What the executor sees of a node's op.
struct BoundOp {
  std::string_view name{};
  Traits traits{};
  double (*flops)(Signature const&) = nullptr;
  void (*kernel)(Call const&) = nullptr;                         // null: the node is no op
  std::shared_ptr<void> (*prepare)(Signature const&) = nullptr;  // null: the kernel has no state
  std::string (*remark)(void const* state) = nullptr;            // null: there is never one
};

/// backend: by its index among the enabled ones.
template <std::size_t N>
constexpr std::array<BoundOp, N> bound(std::array<Node, N> const& graph, int backend) {
  std::array<BoundOp, N> ops{};
  for (std::size_t i = 0; i < N; ++i)
    if (Op const* const op = graph[i].op)
      ops[i] = {op->name,
                op->traits,
                op->flops,
                op->kernel[std::size_t(graph[i].low)][std::size_t(backend)],
                op->prepare[std::size_t(backend)],
                op->remark[std::size_t(backend)]};
  return ops;
}
/// The nodes without the tables, which would bring their kernels with them.
template <std::size_t N>
constexpr std::array<Node, N> plain(std::array<Node, N> graph) {
  for (Node& n : graph) n.op = nullptr;
  return graph;
}

}  // namespace tessera::inline TESSERA_SETTING
