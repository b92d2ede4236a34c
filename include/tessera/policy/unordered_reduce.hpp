/// UnorderedReduce: gradients are summed over ranks by NCCL itself, in an order of its choice.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Without it, ranks exchange their parts and add them by halves in rank order, so that no layout
/// changes a bit. With it a reduce is one ncclReduceScatter, which adds while it carries: runs on
/// the same machines give the same bits, other machines, ranks or versions of NCCL may not.
/// Rewrites  nothing; each reduce row is done by NCCL, in place
/// Bytes     carries as many; saves the room for other ranks' parts, (n-1)/n of the largest flat
/// Refuses   a program that runs on cores (rule::UnorderedReduceNeedsGpu), Strict
///           (rule::StrictReducesInOrder)
struct UnorderedReduce {
  static constexpr std::string_view name = "UnorderedReduce";
  static constexpr void set(Layout& layout) { layout.unordered = true; }
};
static_assert(Policy<UnorderedReduce>);

}  // namespace tessera::inline TESSERA_SETTING
