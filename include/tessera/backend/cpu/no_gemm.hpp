/// Products on cores where there is no oneDNN (-DTESSERA_NO_ONEDNN): refused when a program starts.
/// For machines whose programs compute on GPUs.
#pragma once

#if defined(TESSERA_NO_ONEDNN)

#include <tessera/backend/gemm_shape.hpp>
#include <tessera/core/bytes.hpp>

namespace tessera::inline TESSERA_SETTING {

template <class T>
class CpuGemm {
 public:
  CpuGemm(GemmShape const& shape, Bytes) {
    throw Error("matrix product " + shape.text() +
                " on cores: this program was built without oneDNN; use On<Cuda>, or build it with "
                "libdnnl-dev and without TESSERA_NO_ONEDNN");
  }
  Bytes workspace() const { return 0; }
  double flops() const { return 0; }
  void run(void const*, void const*, void*, void const*, T const*, void*, void* = nullptr) const {}
};

inline double gemm_peak(double = 0, DType = DType::real) {
  return 0;
}

}  // namespace tessera::inline TESSERA_SETTING

#endif
