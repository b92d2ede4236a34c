/// Matrix products on a GPU: a product is planned once, for its shape, and then run on any
/// operands, behind what a stream has to do already.
#pragma once

#include <tessera/backend/cuda/cublaslt.hpp>
#include <tessera/backend/cuda/per_device.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/backend/gemm_shape.hpp>
#include <tessera/core/bytes.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

/// One algorithm of cuBLASLt. run() allocates nothing, waits for nothing, and is for one thread at
/// a time. T is what sums are kept in and what scales them: float, or double for tests.
///
/// cuBLASLt's matrices lie by columns, ours by rows: what it sees of them is transposed. So it is
/// asked for C^T = op(B)^T op(A)^T, whose left matrix is our B; the bias, one number per column of
/// our C, is then one per row of its D, which is what its epilogue adds.
template <class T>
class CudaGemm {
 public:
  /// What operands and workspace begin at multiples of, in bytes.
  static constexpr std::uint32_t alignment = 16;

  /// limit: bytes of workspace that run() will be given.
  CudaGemm(GemmShape const& shape, Bytes limit)
      : shape_(detail::checked(shape)),
        context_(cuda::of_current_device<cublaslt::Context>(name())),
        operation_(name(), sums, scales),
        a_(stored(shape_.m, shape_.k, shape_.lda, shape_.transpose_a, shape_.in)),
        b_(stored(shape_.k, shape_.n, shape_.ldb, shape_.transpose_b, shape_.in)),
        c_(stored(shape_.m, shape_.n, shape_.ldc, false, shape_.out)) {
    if (shape_.bias && shape_.out != shape_.in)
      throw Error(name() +
                  ": cuBLASLt adds a bias that is stored like C only; store C like A and " +
                  "B, or add the bias by an op of its own");
    describe();
    choose(limit);
  }

  Bytes workspace() const { return workspace_; }
  double flops() const { return shape_.flops(); }

  /// a, b and bias hold elements of shape.in, c of shape.out, on the device. queue: the
  /// cudaStream_t.
  void run(void const* a, void const* b, void* c, void const* bias, T const* add, void* workspace,
           void* queue) const {
    if (((address(a) | address(b) | address(c) | address(bias) | address(add) |
          (workspace_ > 0 ? address(workspace) : 0)) &
         (alignment - 1)) != 0)
      throw Error(name() + ": an operand begins at no multiple of " + std::to_string(alignment) +
                  " bytes");
    if (shape_.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    T const one = 1, before = shape_.accumulate || shape_.add;
    cublasStatus_t const status =
        cublasLtMatmul(context_->get(), operation_.get(), &one, b, b_.get(), a, a_.get(), &before,
                       shape_.add ? add : c, c_.get(), c, c_.get(), &algorithm_,
                       workspace_ > 0 ? workspace : nullptr, std::size_t(workspace_),
                       static_cast<cudaStream_t>(queue));
    if (status != CUBLAS_STATUS_SUCCESS) cublaslt::check(status, "cublasLtMatmul", name());
  }

 private:
  static constexpr bool in_double = std::is_same_v<T, double>;
  static constexpr cublasComputeType_t sums = in_double ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
  static constexpr cudaDataType_t scales = in_double ? CUDA_R_64F : CUDA_R_32F;

  static cudaDataType_t type(DType t) {
    return t == DType::bf16 ? CUDA_R_16BF : t == DType::fp16 ? CUDA_R_16F : scales;
  }
  static std::uintptr_t address(void const* at) { return reinterpret_cast<std::uintptr_t>(at); }

  std::string name() const { return "matrix product " + shape_.text(); }

  /// Rows of ours are columns of cuBLASLt's.
  cublaslt::Layout stored(std::int64_t rows, std::int64_t cols, std::int64_t ld, bool transposed,
                          DType t) const {
    if (transposed) std::swap(rows, cols);
    return {name(), type(t), cols, rows, ld};
  }

  template <class V>
  void set(cublasLtMatmulDescAttributes_t attribute, V const& value) const {
    cublasStatus_t const status = operation_.set(attribute, value);
    if (status != CUBLAS_STATUS_SUCCESS)
      cublaslt::check(status, "cublasLtMatmulDescSetAttribute", name());
  }

  void describe() const {
    auto const op = [](bool transpose) {
      return std::int32_t(transpose ? CUBLAS_OP_T : CUBLAS_OP_N);
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, op(shape_.transpose_b));
    set(CUBLASLT_MATMUL_DESC_TRANSB, op(shape_.transpose_a));
    if (!shape_.bias) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t(CUBLASLT_EPILOGUE_BIAS));
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, std::int32_t(type(shape_.in)));
    // Only an example of an address: the choice below looks at its alignment, and at null it would
    // count on the best.
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER,
        reinterpret_cast<void const*>(std::uintptr_t(alignment)));
  }

  void choose(Bytes limit) {
    cublaslt::Preference const preference(name(), std::uint64_t(limit), alignment);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    char const* const call = "cublasLtMatmulAlgoGetHeuristic";
    cublasStatus_t const status =
        cublasLtMatmulAlgoGetHeuristic(context_->get(), operation_.get(), b_.get(), a_.get(),
                                       c_.get(), c_.get(), preference.get(), 1, &best, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0))
      throw Error(name() + ": " + call + " knows no algorithm for it with " +
                  std::to_string(limit) + " bytes of workspace (" + cublasLtGetStatusName(status) +
                  "); raise Cuda::gemm_workspace or use " + "Precision<float>");
    cublaslt::check(status, call, name());
    cublaslt::check(best.state, call, name());
    algorithm_ = best.algo;
    workspace_ = Bytes(best.workspaceSize);
  }

  GemmShape shape_;
  Bytes workspace_ = 0;
  std::shared_ptr<cublaslt::Context const> context_;
  cublaslt::Operation operation_;
  cublaslt::Layout a_, b_, c_;
  cublasLtMatmulAlgo_t algorithm_{};
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
