/// Matrix products on cores: a product is planned once, for its shape, and then run on any
/// operands.
#pragma once

#include <tessera/backend/cpu/onednn.hpp>
#include <tessera/core/bytes.hpp>
#include <tessera/core/error.hpp>
#include <tessera/core/setting.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// C[m, n] = op(A)[m, k] op(B)[k, n] (+ bias[n]) (+ D[m, n], or + what C held). Row-major; ld* is
/// the distance of rows in elements, 0 if they are dense. D lies like C.
struct GemmShape {
  std::int64_t m, n, k;
  bool transpose_a = false, transpose_b = false;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  bool bias = false, accumulate = false, add = false;

  constexpr double flops() const { return 2.0 * double(m) * double(n) * double(k); }
  constexpr GemmShape dense() const {
    GemmShape s = *this;
    if (s.lda == 0) s.lda = transpose_a ? m : k;
    if (s.ldb == 0) s.ldb = transpose_b ? k : n;
    if (s.ldc == 0) s.ldc = n;
    return s;
  }
  std::string text() const {
    return "[" + std::to_string(m) + ", " + std::to_string(k) + "]" + (transpose_a ? "^T" : "") +
           " x [" + std::to_string(k) + ", " + std::to_string(n) + "]" + (transpose_b ? "^T" : "");
  }
};

namespace detail {

inline GemmShape checked(GemmShape const& shape) {
  GemmShape const s = shape.dense();
  if (s.m < 1 || s.n < 1 || s.k < 1 || s.lda < (s.transpose_a ? s.m : s.k) ||
      s.ldb < (s.transpose_b ? s.k : s.n) || s.ldc < s.n)
    throw Error("matrix product " + s.text() + ": extents must be positive and rows not overlap");
  if (s.accumulate && s.add)
    throw Error("matrix product " + s.text() + ": it adds to C or adds D, not both");
  return s;
}

}  // namespace detail

/// Plain loops, in a fixed order: for double, where tests compare finite differences.
template <class T>
class Gemm {
 public:
  Gemm(GemmShape const& shape, Bytes) : shape_(detail::checked(shape)) {}

  Bytes workspace() const { return 0; }
  double flops() const { return shape_.flops(); }

  void run(T const* a, T const* b, T* c, T const* bias, T const* add, void*) const {
    GemmShape const& s = shape_;
#pragma omp parallel for
    for (std::int64_t i = 0; i < s.m; ++i) {
      T* const to = c + i * s.ldc;
      for (std::int64_t j = 0; j < s.n; ++j) {
        T const before = s.accumulate ? to[j] : s.add ? add[i * s.ldc + j] : T(0);
        to[j] = s.bias ? before + bias[j] : before;
      }
      for (std::int64_t k = 0; k < s.k; ++k) {
        T const left = s.transpose_a ? a[k * s.lda + i] : a[i * s.lda + k];
        T const* const right = s.transpose_b ? b + k : b + k * s.ldb;
        std::int64_t const step = s.transpose_b ? s.ldb : 1;
        for (std::int64_t j = 0; j < s.n; ++j) to[j] += left * right[j * step];
      }
    }
  }

 private:
  GemmShape shape_;
};

/// A oneDNN primitive. run() allocates nothing here and is for one thread at a time; oneDNN's own
/// threads are OpenMP's.
template <>
class Gemm<float> {
 public:
  /// limit: bytes of workspace that run() will be given.
  Gemm(GemmShape const& shape, Bytes limit) : shape_(detail::checked(shape)) {
    GemmShape const& s = shape_;
    auto const matrix = [&](std::int64_t rows, std::int64_t cols, std::int64_t ld, bool transpose) {
      return onednn::Layout(name(), rows, cols, transpose ? 1 : ld, transpose ? ld : 1);
    };
    onednn::Layout const a = matrix(s.m, s.k, s.lda, s.transpose_a),
                         b = matrix(s.k, s.n, s.ldb, s.transpose_b),
                         c = matrix(s.m, s.n, s.ldc, false), bias = matrix(1, s.n, s.n, false);
    onednn::Attributes attributes(name());
    if (s.accumulate) attributes.then_sum();
    if (s.add) attributes.then_add(c);

    onednn::Engine const engine(name());
    onednn::Matmul const matmul(name(), engine, a, b, s.bias ? &bias : nullptr, c, attributes);
    workspace_ = matmul.scratch_bytes();
    if (workspace_ > limit)
      throw Error(name() + " wants " + std::to_string(workspace_) +
                  " bytes of workspace and may have " + std::to_string(limit) +
                  "; raise Cpu::gemm_workspace or run fewer OpenMP threads");
    primitive_ = matmul.primitive();
    stream_ = engine.stream();
    operands_[0] = engine.memory(a.get());
    operands_[1] = engine.memory(b.get());
    operands_[2] = engine.memory(c.get());
    if (s.bias) operands_[3] = engine.memory(bias.get());
    if (s.add) operands_[4] = engine.memory(c.get());
    if (workspace_ > 0) operands_[5] = engine.memory(matmul.scratch());
  }

  Bytes workspace() const { return workspace_; }
  double flops() const { return shape_.flops(); }

  void run(float const* a, float const* b, float* c, float const* bias, float const* add,
           void* workspace) const {
    // oneDNN has no const operands; it writes to c and workspace only.
    std::array<void*, slots> const data{
        const_cast<float*>(a),    const_cast<float*>(b),   c,
        const_cast<float*>(bias), const_cast<float*>(add), workspace};
    std::array<dnnl_exec_arg_t, slots> given;
    std::size_t count = 0;
    dnnl_status_t status = dnnl_success;
    for (std::size_t i = 0; i < slots && status == dnnl_success; ++i) {
      if (!operands_[i]) continue;
      given[count++] = {arguments[i], operands_[i].get()};
      status = dnnl_memory_set_data_handle(operands_[i].get(), data[i]);
    }
    if (status == dnnl_success)
      status = dnnl_primitive_execute(primitive_.get(), stream_.get(), int(count), given.data());
    if (status == dnnl_success) status = dnnl_stream_wait(stream_.get());
    if (status != dnnl_success) onednn::check(status, name());
  }

 private:
  static constexpr std::size_t slots = 6;
  static constexpr std::array<int, slots> arguments{
      DNNL_ARG_SRC,
      DNNL_ARG_WEIGHTS,
      DNNL_ARG_DST,
      DNNL_ARG_BIAS,
      DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
      DNNL_ARG_SCRATCHPAD};

  std::string name() const { return "matrix product " + shape_.text(); }

  GemmShape shape_;
  Bytes workspace_ = 0;
  onednn::Primitive primitive_;
  onednn::Stream stream_;
  std::array<onednn::Memory, slots> operands_;
};

/// Floating-point operations per second of a large product: what this machine's cores can do. Takes
/// about this many seconds.
inline double gemm_peak(double seconds = 0.3) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t n = 1024;
  Gemm<float> const product({.m = n, .n = n, .k = n}, 64_MiB);
  std::vector<float> const a(n * n, 0.5f), b(n * n, 0.25f);
  std::vector<float> c(n * n);
  std::vector<std::byte> workspace(static_cast<std::size_t>(product.workspace()));
  double best = 0;
  for (auto const start = Clock::now();
       best == 0 || Clock::now() - start < std::chrono::duration<double>(seconds);) {
    auto const before = Clock::now();
    product.run(a.data(), b.data(), c.data(), nullptr, nullptr, workspace.data());
    best = std::max(best,
                    product.flops() / std::chrono::duration<double>(Clock::now() - before).count());
  }
  return best;
}

}  // namespace tessera::inline TESSERA_SETTING
