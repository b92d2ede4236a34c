/// Matrix products on cores: a product is planned once, for its shape, and then run on any
/// operands. Every backend's run() ends in a queue; cores have none.
#pragma once

#include <tessera/backend/cpu/onednn.hpp>
#include <tessera/backend/gemm_shape.hpp>
#include <tessera/core/bytes.hpp>
#include <tessera/core/dtype.hpp>
#include <tessera/core/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// Plain loops, in a fixed order: for double, where tests compare finite differences.
template <class T>
class CpuGemm {
 public:
  CpuGemm(GemmShape const& shape, Bytes) : shape_(detail::checked(shape)) {}

  Bytes workspace() const { return 0; }
  double flops() const { return shape_.flops(); }

  void run(T const* a, T const* b, T* c, T const* bias, T const* add, void*,
           void* = nullptr) const {
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

/// A product of 16-bit operands as one of floats: blocks of them become floats, padded with zeros,
/// and are multiplied as such. The type is storage only. So are all products of fp16, for the same
/// bits on every processor, and those of bf16 where oneDNN has none for this processor.
class ConvertedGemm;

/// A oneDNN primitive. run() allocates nothing here and is for one thread at a time; oneDNN's own
/// threads are OpenMP's.
template <>
class CpuGemm<float> {
 public:
  /// limit: bytes of workspace that run() will be given.
  CpuGemm(GemmShape const& shape, Bytes limit);
  CpuGemm(CpuGemm&&) noexcept;
  CpuGemm& operator=(CpuGemm&&) noexcept;
  ~CpuGemm();

  Bytes workspace() const { return workspace_; }
  double flops() const { return shape_.flops(); }

  /// a, b and bias hold elements of shape.in, c of shape.out.
  void run(void const* a, void const* b, void* c, void const* bias, float const* add,
           void* workspace, void* queue = nullptr) const;

 private:
  void prepare(Bytes limit);
  void convert(Bytes limit);

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
  std::unique_ptr<ConvertedGemm> converted_;
};

class ConvertedGemm {
 public:
  ConvertedGemm(GemmShape const& s, Bytes limit)
      : shape_(s),
        m_(std::min(round_up(s.m, 16), most_m)),
        n_(std::min(round_up(s.n, 16), most_n)),
        k_(std::min(round_up(s.k, 16), most_k)),
        set_(block(s, false), limit - blocks()),
        add_(block(s, true), limit - blocks()) {}

  Bytes workspace() const { return blocks() + std::max(set_.workspace(), add_.workspace()); }

  void run(void const* a, void const* b, void* c, void const* bias, float const* add,
           void* workspace) const {
    if (shape_.in == DType::fp16)
      multiply<fp16>(a, b, c, bias, add, workspace);
    else
      multiply<bf16>(a, b, c, bias, add, workspace);
  }

 private:
  static constexpr std::int64_t most_m = 256, most_n = 512, most_k = 512;

  template <class Low>
  void multiply(void const* a, void const* b, void* c, void const* bias, float const* add,
                void* workspace) const {
    GemmShape const& s = shape_;
    auto* const left = static_cast<float*>(workspace);
    float* const right = left + m_ * k_;
    float* const sum = right + k_ * n_;
    void* const rest = sum + m_ * n_;
    for (std::int64_t i = 0; i < s.m; i += m_)
      for (std::int64_t j = 0; j < s.n; j += n_) {
        for (std::int64_t l = 0; l < s.k; l += k_) {
          widen<Low>(a, s.lda, s.transpose_a, i, l, s.m, s.k, m_, k_, left);
          widen<Low>(b, s.ldb, s.transpose_b, l, j, s.k, s.n, k_, n_, right);
          (l == 0 ? set_ : add_).run(left, right, sum, nullptr, nullptr, rest);
        }
        put(sum, i, j, c, static_cast<Low const*>(bias), add);
      }
  }

  Bytes blocks() const { return (m_ * k_ + k_ * n_ + m_ * n_) * Bytes(sizeof(float)); }
  GemmShape block(GemmShape const& s, bool accumulate) const {
    return {.m = m_,
            .n = n_,
            .k = k_,
            .transpose_a = s.transpose_a,
            .transpose_b = s.transpose_b,
            .accumulate = accumulate};
  }

  /// Rows and columns from (row, col) on of a matrix that is stored as it is or transposed.
  template <class Low>
  static void widen(void const* from, std::int64_t ld, bool transposed, std::int64_t row,
                    std::int64_t col, std::int64_t rows, std::int64_t cols, std::int64_t height,
                    std::int64_t width, float* to) {
    if (transposed) {
      std::swap(row, col);
      std::swap(rows, cols);
      std::swap(height, width);
    }
    std::int64_t const there = std::min(width, cols - col);
#pragma omp parallel for
    for (std::int64_t r = 0; r < height; ++r) {
      float* const out = to + r * width;
      if (row + r >= rows) {
        std::fill_n(out, width, 0.f);
        continue;
      }
      Low const* const in = static_cast<Low const*>(from) + (row + r) * ld + col;
#pragma omp simd
      for (std::int64_t c = 0; c < there; ++c) out[c] = float(in[c]);
      std::fill(out + there, out + width, 0.f);
    }
  }

  template <class Low>
  void put(float const* sum, std::int64_t i, std::int64_t j, void* c, Low const* bias,
           float const* add) const {
    GemmShape const& s = shape_;
    std::int64_t const rows = std::min(m_, s.m - i), cols = std::min(n_, s.n - j);
#pragma omp parallel for
    for (std::int64_t r = 0; r < rows; ++r) {
      std::int64_t const at = (i + r) * s.ldc + j;
      float* const exact = s.out == DType::real ? static_cast<float*>(c) + at : nullptr;
      for (std::int64_t k = 0; k < cols; ++k) {
        float x = sum[r * n_ + k];
        if (s.bias) x += float(bias[j + k]);
        if (s.add) x += add[at + k];
        if (!exact)
          static_cast<Low*>(c)[at + k] = Low(x);
        else
          exact[k] = s.accumulate ? exact[k] + x : x;
      }
    }
  }

  GemmShape shape_;
  std::int64_t m_, n_, k_;
  CpuGemm<float> set_, add_;
};

inline CpuGemm<float>::CpuGemm(CpuGemm&&) noexcept = default;
inline CpuGemm<float>& CpuGemm<float>::operator=(CpuGemm&&) noexcept = default;
inline CpuGemm<float>::~CpuGemm() = default;

inline CpuGemm<float>::CpuGemm(GemmShape const& shape, Bytes limit)
    : shape_(detail::checked(shape)) {
  if (shape_.in == DType::fp16) {
    convert(limit);
    return;
  }
  try {
    prepare(limit);
  } catch (onednn::Unimplemented const&) {
    if (shape_.in == DType::real) throw;
    convert(limit);
  }
}

inline void CpuGemm<float>::convert(Bytes limit) {
  converted_ = std::make_unique<ConvertedGemm>(shape_, limit);
  workspace_ = converted_->workspace();
}

inline void CpuGemm<float>::prepare(Bytes limit) {
  GemmShape const& s = shape_;
  auto const type = [](DType t) { return t == DType::bf16 ? dnnl_bf16 : dnnl_f32; };
  auto const matrix = [&](std::int64_t rows, std::int64_t cols, std::int64_t ld, bool transpose,
                          DType t) {
    return onednn::Layout(name(), rows, cols, transpose ? 1 : ld, transpose ? ld : 1, type(t));
  };
  onednn::Layout const a = matrix(s.m, s.k, s.lda, s.transpose_a, s.in),
                       b = matrix(s.k, s.n, s.ldb, s.transpose_b, s.in),
                       c = matrix(s.m, s.n, s.ldc, false, s.out),
                       bias = matrix(1, s.n, s.n, false, s.in),
                       other = matrix(s.m, s.n, s.ldc, false, DType::real);
  onednn::Attributes attributes(name());
  if (s.accumulate) attributes.then_sum();
  if (s.add) attributes.then_add(other);

  onednn::Engine const engine(name());
  onednn::Matmul const matmul(name(), engine, a, b, s.bias ? &bias : nullptr, c, attributes, limit);
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
  if (s.add) operands_[4] = engine.memory(other.get());
  if (workspace_ > 0) operands_[5] = engine.memory(matmul.scratch());
}

inline void CpuGemm<float>::run(void const* a, void const* b, void* c, void const* bias,
                                float const* add, void* workspace, void*) const {
  if (converted_) return converted_->run(a, b, c, bias, add, workspace);
  // oneDNN has no const operands; it writes to c and workspace only.
  std::array<void*, slots> const data{const_cast<void*>(a),    const_cast<void*>(b),    c,
                                      const_cast<void*>(bias), const_cast<float*>(add), workspace};
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

/// Floating-point operations per second of a large product with operands of a type: what this
/// machine's cores can do. Takes about this many seconds.
inline double gemm_peak(double seconds = 0.3, DType type = DType::real) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t n = 1024;
  CpuGemm<float> const product({.m = n, .n = n, .k = n, .in = type}, 64_MiB);
  // Either half of such a float is a number of that size too, in bf16 and in fp16.
  std::vector<float> const a(n * n, std::bit_cast<float>(0x38003800u)), b = a;
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
