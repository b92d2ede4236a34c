/// Graphs: launches a layer's pass as one thing.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Each layer's pass is captured as a CUDA graph when it first runs and replayed from then on: the
/// host then issues one launch in place of dozens. Pays where kernels are short.
/// Bytes    none of the plan's; the driver keeps some hundred bytes per kernel
/// Refuses  a program that runs on cores (rule::GraphsNeedGpu)
struct Graphs {
  static constexpr std::string_view name = "Graphs";
  static constexpr void set(Layout& layout) { layout.graphs = true; }
};
static_assert(Policy<Graphs>);

}  // namespace tessera::inline TESSERA_SETTING
