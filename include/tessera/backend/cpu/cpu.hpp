/// The CPU backend as ops see it: which team their kernels run on, and what a matrix product may
/// use.
#pragma once

#include <tessera/backend/cpu/team.hpp>
#include <tessera/core/bytes.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Cpu {
  using team = CpuTeam;
  /// Scratch that one matrix product may ask for; a primitive that wants more is refused at start.
  static constexpr Bytes gemm_workspace = 8_MiB;
};

}  // namespace tessera::inline TESSERA_SETTING
