/// What matrix products need of cuBLASLt, owned and checked.
#pragma once

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/backend/cuda/launch.hpp>

#include <cublasLt.h>

#include <cstdint>
#include <memory>
#include <string>

namespace tessera::inline TESSERA_SETTING::cublaslt {

inline void check(cublasStatus_t status, char const* call, std::string const& what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError(what + ": " + call + ": " + cublasLtGetStatusString(status) + " (" +
                      cublasLtGetStatusName(status) +
                      "); CUBLASLT_LOG_LEVEL=5 shows what it was asked");
}

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* x) const {
    Destroy(x);
  }
};
template <class Handle, auto Destroy>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroyer<Destroy>>;

/// cuBLASLt on one device.
class Context {
 public:
  explicit Context(std::string const& what) {
    check(cublasLtCreate(&handle_), "cublasLtCreate", what);
  }
  Context(Context const&) = delete;
  Context& operator=(Context const&) = delete;
  ~Context() { cublasLtDestroy(handle_); }

  cublasLtHandle_t get() const { return handle_; }

 private:
  cublasLtHandle_t handle_ = nullptr;
};

/// A matrix by columns, ld elements apart.
class Layout {
 public:
  Layout(std::string const& what, cudaDataType_t type, std::int64_t rows, std::int64_t cols,
         std::int64_t ld) {
    cublasLtMatrixLayout_t raw = nullptr;
    check(cublasLtMatrixLayoutCreate(&raw, type, std::uint64_t(rows), std::uint64_t(cols), ld),
          "cublasLtMatrixLayoutCreate", what);
    layout_.reset(raw);
  }
  cublasLtMatrixLayout_t get() const { return layout_.get(); }

 private:
  Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> layout_;
};

/// What is computed: D = op(A) op(B), and what happens to it before it is stored.
class Operation {
 public:
  Operation(std::string const& what, cublasComputeType_t sums, cudaDataType_t scales) {
    cublasLtMatmulDesc_t raw = nullptr;
    check(cublasLtMatmulDescCreate(&raw, sums, scales), "cublasLtMatmulDescCreate", what);
    operation_.reset(raw);
  }
  template <class T>
  cublasStatus_t set(cublasLtMatmulDescAttributes_t attribute, T const& value) const {
    return cublasLtMatmulDescSetAttribute(get(), attribute, &value, sizeof value);
  }
  cublasLtMatmulDesc_t get() const { return operation_.get(); }

 private:
  Owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation_;
};

/// What an algorithm may count on.
class Preference {
 public:
  Preference(std::string const& what, std::uint64_t workspace, std::uint32_t alignment) {
    cublasLtMatmulPreference_t raw = nullptr;
    check(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate", what);
    preference_.reset(raw);
    set(what, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
    for (auto const operand :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      set(what, operand, alignment);
  }
  cublasLtMatmulPreference_t get() const { return preference_.get(); }

 private:
  template <class T>
  void set(std::string const& what, cublasLtMatmulPreferenceAttributes_t attribute,
           T const& value) const {
    check(cublasLtMatmulPreferenceSetAttribute(get(), attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute", what);
  }

  Owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference_;
};

}  // namespace tessera::inline TESSERA_SETTING::cublaslt

#endif
