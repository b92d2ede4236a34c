/// The CPU backend as ops see it: which team their kernels run on, and what a matrix product is and
/// may use.
#pragma once

#include <tessera/backend/cpu/team.hpp>
#include <tessera/core/bytes.hpp>

namespace tessera::inline TESSERA_SETTING {

template <class T>
class CpuGemm;        // backend/gemm.hpp, which most ops do without
struct CpuAttention;  // backend/attention.hpp

struct Cpu {
  using team = CpuTeam;
  template <class T>
  using Gemm = CpuGemm<T>;
  using Attention = CpuAttention;
  /// Scratch that one matrix product may ask for; a primitive that wants more is refused at start.
  static constexpr Bytes gemm_workspace = 8_MiB;
  /// Columns of a 16-bit B that one product covers, about: products are so fast then that packing
  /// more costs them a third.
  static constexpr std::int64_t low_gemm_columns = 3200;
};

}  // namespace tessera::inline TESSERA_SETTING
