/// A double of cuBLASLt, for programs without a GPU: the entry points that backend/cuda/gemm.hpp
/// calls, linked in place of the library's. Its products are plain loops that run on the stream; it
/// refuses whatever the library's documents do not promise, and more strictly than the library:
/// what only happens to work on one device fails here.
#include <cuda_double/api.hpp>
#include <cuda_double/cublaslt.hpp>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

std::mutex failing;
std::map<std::string, cublasStatus_t> failures;
std::atomic<long> objects, contexts;

/// What fail_next() has for a call, once.
bool fails(char const* call, cublasStatus_t& status) {
  std::lock_guard const lock(failing);
  auto const found = failures.find(call);
  if (found == failures.end()) return false;
  status = found->second;
  failures.erase(found);
  return true;
}

#define FAIL_IF_TOLD \
  if (cublasStatus_t told; fails(__func__, told)) return told

/// The handles of the library's header point to words that only the library reads: here an object
/// of ours, its first word a mark that tells a living one from any other.
struct Context {
  std::uint64_t mark;
};
struct Layout {
  std::uint64_t mark;
  cudaDataType type;
  std::uint64_t rows, cols;
  std::int64_t ld;

  bool operator==(Layout const&) const = default;
};
struct Operation {
  std::uint64_t mark;
  cublasComputeType_t sums;
  cudaDataType scales;
  std::int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N, bias_type = -1;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void const* bias = nullptr;
};
struct Preference {
  std::uint64_t mark;
  std::uint64_t workspace = 0;
  std::uint32_t alignment[4]{256, 256, 256, 256};  // of A, B, C, D
};
/// A choice for one problem, under what was promised when it was made.
struct Algorithm {
  std::uint64_t mark, problem, workspace;
  std::uint32_t alignment[4], bias_alignment;
};

template <class T>
inline constexpr std::uint64_t alive = 0;
template <>
inline constexpr std::uint64_t alive<Context> = 0xc0de'0001;
template <>
inline constexpr std::uint64_t alive<Layout> = 0xc0de'0002;
template <>
inline constexpr std::uint64_t alive<Operation> = 0xc0de'0003;
template <>
inline constexpr std::uint64_t alive<Preference> = 0xc0de'0004;
template <>
inline constexpr std::uint64_t alive<Algorithm> = 0xc0de'0005;

template <class T>
T* of(void const* handle) {
  auto* const object = static_cast<T*>(const_cast<void*>(handle));
  return object && object->mark == alive<T> ? object : nullptr;
}
template <class T, class Handle, class... Fields>
cublasStatus_t create(Handle* handle, Fields... fields) {
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = reinterpret_cast<Handle>(new T{alive<T>, fields...});
  ++objects;
  return CUBLAS_STATUS_SUCCESS;
}
template <class T>
cublasStatus_t destroy(void const* handle) {
  T* const object = of<T>(handle);
  if (!object) return CUBLAS_STATUS_INVALID_VALUE;
  object->mark = 0;
  delete object;
  --objects;
  return CUBLAS_STATUS_SUCCESS;
}
template <class T>
cublasStatus_t put(T& field, void const* from, std::size_t bytes) {
  if (!from || bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&field, from, sizeof field);
  return CUBLAS_STATUS_SUCCESS;
}

/// A power of two that the address is a multiple of, 256 at most; nobody has said so of null.
std::uint32_t alignment_of(void const* at) {
  std::uint32_t alignment = 256;
  while (reinterpret_cast<std::uintptr_t>(at) % alignment != 0) alignment /= 2;
  return alignment;
}

std::size_t size_of(cudaDataType type) {
  return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}
std::size_t extent(Layout const& l) {
  return (std::size_t(l.cols - 1) * std::size_t(l.ld) + std::size_t(l.rows)) * size_of(l.type);
}

/// f(address, bytes) for every column: what lies between them belongs to nobody here.
template <class F>
void each_column(void const* p, Layout const& l, F const& f) {
  auto* const at = static_cast<std::byte*>(const_cast<void*>(p));
  for (std::uint64_t j = 0; j < l.cols; ++j)
    f(at + j * std::uint64_t(l.ld) * size_of(l.type), l.rows * size_of(l.type));
}

/// The library's table of types: operands, C and D, bias.
bool has_types(Operation const& o, Layout const& a, Layout const& b, Layout const& d) {
  auto const bias = o.bias_type < 0 ? d.type : cudaDataType(o.bias_type);
  if (a.type != b.type || bias != d.type) return false;
  if (o.sums == CUBLAS_COMPUTE_64F)
    return o.scales == CUDA_R_64F && a.type == CUDA_R_64F && d.type == CUDA_R_64F;
  bool const low = a.type == CUDA_R_16BF || a.type == CUDA_R_16F;
  return o.sums == CUBLAS_COMPUTE_32F && o.scales == CUDA_R_32F && (a.type == CUDA_R_32F || low) &&
         (d.type == CUDA_R_32F || (low && d.type == a.type));
}

struct Problem {
  Operation o;
  Layout a, b, c, d;

  bool transposes_a() const { return o.transpose_a != CUBLAS_OP_N; }
  bool transposes_b() const { return o.transpose_b != CUBLAS_OP_N; }
  std::uint64_t m() const { return transposes_a() ? a.cols : a.rows; }
  std::uint64_t k() const { return transposes_a() ? a.rows : a.cols; }
  std::uint64_t n() const { return transposes_b() ? b.rows : b.cols; }
  bool has_bias() const { return o.epilogue == CUBLASLT_EPILOGUE_BIAS; }

  cublasStatus_t judged() const {
    for (Layout const& l : {a, b, c, d})
      if (l.rows < 1 || l.cols < 1 || l.ld < std::int64_t(l.rows))
        return CUBLAS_STATUS_INVALID_VALUE;
    if ((transposes_b() ? b.cols : b.rows) != k() || d.rows != m() || d.cols != n() ||
        c.rows != m() || c.cols != n())
      return CUBLAS_STATUS_INVALID_VALUE;
    if (c.type != d.type || !has_types(o, a, b, d)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (o.epilogue != CUBLASLT_EPILOGUE_DEFAULT && !has_bias()) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
  }
  /// Tells one problem from another.
  std::uint64_t number() const {
    std::uint64_t h = 0;
    auto const mix = [&](auto x) { h = (h ^ std::uint64_t(x)) * 0x100000001b3u + (h >> 29); };
    for (Layout const& l : {a, b, c, d}) mix(l.type), mix(l.rows), mix(l.cols), mix(l.ld);
    mix(o.sums), mix(o.transpose_a), mix(o.transpose_b), mix(o.epilogue), mix(o.bias_type);
    return h;
  }
  /// Of the algorithm that cuts a long k in two: sums of one half.
  std::uint64_t workspace() const {
    return k() < 256 ? 0 : (m() * n() * (o.sums == CUBLAS_COMPUTE_64F ? 8 : 4) + 255) / 256 * 256;
  }
};

template <class Sum>
Sum load(void const* p, cudaDataType type, std::size_t i) {
  switch (type) {
    case CUDA_R_64F: return Sum(static_cast<double const*>(p)[i]);
    case CUDA_R_32F: return Sum(static_cast<float const*>(p)[i]);
    case CUDA_R_16BF: return Sum(__bfloat162float(static_cast<__nv_bfloat16 const*>(p)[i]));
    default: return Sum(__half2float(static_cast<__half const*>(p)[i]));
  }
}
template <class Sum>
void store(void* p, cudaDataType type, std::size_t i, Sum x) {
  switch (type) {
    case CUDA_R_64F: static_cast<double*>(p)[i] = double(x); return;
    case CUDA_R_32F: static_cast<float*>(p)[i] = float(x); return;
    case CUDA_R_16BF: static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16(float(x)); return;
    default: static_cast<__half*>(p)[i] = __float2half(float(x));
  }
}

/// op(X) by columns as sums' type.
template <class Sum>
std::vector<Sum> gathered(void const* p, Layout const& l, bool transpose) {
  std::size_t const rows = transpose ? l.cols : l.rows, cols = transpose ? l.rows : l.cols;
  std::vector<Sum> x(rows * cols);
  for (std::size_t j = 0; j < cols; ++j)
    for (std::size_t i = 0; i < rows; ++i)
      x[j * rows + i] =
          load<Sum>(p, l.type, transpose ? i * std::size_t(l.ld) + j : j * std::size_t(l.ld) + i);
  return x;
}

/// D = alpha op(A) op(B) + beta C (+ bias of each row); sums in the order of k. Host addresses.
template <class Sum>
void multiply(Problem const& p, Sum alpha, Sum beta, void const* a, void const* b, void const* c,
              void* d, void const* bias) {
  std::size_t const m = p.m(), n = p.n(), k = p.k();
  auto const left = gathered<Sum>(a, p.a, p.transposes_a()),
             right = gathered<Sum>(b, p.b, p.transposes_b());
  std::vector<Sum> sum(m);
  for (std::size_t j = 0; j < n; ++j) {
    std::fill(sum.begin(), sum.end(), Sum(0));
    for (std::size_t l = 0; l < k; ++l)
      for (std::size_t i = 0; i < m; ++i) sum[i] += left[l * m + i] * right[j * k + l];
    for (std::size_t i = 0; i < m; ++i) {
      std::size_t const at = j * std::size_t(p.d.ld) + i;
      Sum x = alpha * sum[i];
      if (beta != 0) x += beta * load<Sum>(c, p.c.type, j * std::size_t(p.c.ld) + i);
      if (p.has_bias()) x += load<Sum>(bias, p.d.type, i);
      store(d, p.d.type, at, x);
    }
  }
}

bool overlap(void const* a, std::size_t as, void const* b, std::size_t bs) {
  auto const x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return x < y + bs && y < x + as;
}

}  // namespace

void cuda_double::fail_next(char const* call, cublasStatus_t status) {
  std::lock_guard const lock(failing);
  failures[call] = status;
}
long cuda_double::cublaslt_objects() {
  return objects;
}
long cuda_double::cublaslt_contexts_made() {
  return contexts;
}

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  FAIL_IF_TOLD;
  ++contexts;
  return create<Context>(handle);
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return destroy<Context>(handle);
}

char const* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "CUBLAS_STATUS_UNKNOWN";
  }
}
char const* cublasLtGetStatusString(cublasStatus_t) {
  return "refused by the double of cuBLASLt";
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t cols, std::int64_t ld) {
  FAIL_IF_TOLD;
  return create<Layout>(layout, type, rows, cols, ld);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy<Layout>(layout);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t sums,
                                        cudaDataType_t scales) {
  FAIL_IF_TOLD;
  return create<Operation>(operation, sums, scales);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return destroy<Operation>(operation);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              void const* value, std::size_t bytes) {
  FAIL_IF_TOLD;
  Operation* const o = of<Operation>(operation);
  if (!o) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return put(o->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return put(o->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return put(o->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return put(o->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return put(o->bias_type, value, bytes);
    default: return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  FAIL_IF_TOLD;
  return create<Preference>(preference);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy<Preference>(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    void const* value, std::size_t bytes) {
  FAIL_IF_TOLD;
  Preference* const p = of<Preference>(preference);
  if (!p) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return put(p->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return put(p->alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return put(p->alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return put(p->alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return put(p->alignment[3], value, bytes);
    default: return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

/// One algorithm needs workspace and the other none: the first, if it may have what it needs.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  FAIL_IF_TOLD;
  Operation const* const o = of<Operation>(operation);
  Layout const *const la = of<Layout>(a), *const lb = of<Layout>(b), *const lc = of<Layout>(c),
                      *const ld = of<Layout>(d);
  Preference const* const p = of<Preference>(preference);
  if (!of<Context>(handle) || !o || !la || !lb || !lc || !ld || !p || wanted < 1 || !results ||
      !found)
    return CUBLAS_STATUS_INVALID_VALUE;
  Problem const problem{*o, *la, *lb, *lc, *ld};
  *found = 0;
  if (auto const judged = problem.judged(); judged != CUBLAS_STATUS_SUCCESS) return judged;
  Algorithm chosen{alive<Algorithm>, problem.number(), problem.workspace(), {}, 0};
  if (chosen.workspace > p->workspace) chosen.workspace = 0;
  std::memcpy(chosen.alignment, p->alignment, sizeof chosen.alignment);
  chosen.bias_alignment = alignment_of(o->bias);
  results[0] = {};
  static_assert(sizeof chosen <= sizeof results[0].algo);
  std::memcpy(&results[0].algo, &chosen, sizeof chosen);
  results[0].workspaceSize = chosen.workspace;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              void const* alpha, void const* a, cublasLtMatrixLayout_t la,
                              void const* b, cublasLtMatrixLayout_t lb, void const* beta,
                              void const* c, cublasLtMatrixLayout_t lc, void* d,
                              cublasLtMatrixLayout_t ld, cublasLtMatmulAlgo_t const* algorithm,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  FAIL_IF_TOLD;
  if (!of<Context>(handle) || !of<Operation>(operation) || !of<Layout>(la) || !of<Layout>(lb) ||
      !of<Layout>(lc) || !of<Layout>(ld) || !alpha || !beta || !a || !b || !c || !d || !algorithm)
    return CUBLAS_STATUS_INVALID_VALUE;
  Problem const p{*of<Operation>(operation), *of<Layout>(la), *of<Layout>(lb), *of<Layout>(lc),
                  *of<Layout>(ld)};
  if (auto const judged = p.judged(); judged != CUBLAS_STATUS_SUCCESS) return judged;
  Algorithm chosen;
  std::memcpy(&chosen, algorithm, sizeof chosen);
  if (chosen.mark != alive<Algorithm> || chosen.problem != p.number())
    return CUBLAS_STATUS_INVALID_VALUE;
  if (chosen.workspace > 0 &&
      (!workspace || workspace_bytes < chosen.workspace || alignment_of(workspace) < 16))
    return CUBLAS_STATUS_INVALID_VALUE;
  void const* const operands[]{a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (alignment_of(operands[i]) < chosen.alignment[i]) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (p.has_bias() && (!p.o.bias || alignment_of(p.o.bias) < chosen.bias_alignment))
    return p.o.bias ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_INVALID_VALUE;
  // C may be D if it lies like it; no other operand may share a byte with D.
  if (overlap(d, extent(p.d), a, extent(p.a)) || overlap(d, extent(p.d), b, extent(p.b)) ||
      (c == d ? p.c != p.d : overlap(d, extent(p.d), c, extent(p.c))))
    return CUBLAS_STATUS_INVALID_VALUE;

  bool const in_double = p.o.sums == CUBLAS_COMPUTE_64F;
  double const by = in_double ? *static_cast<double const*>(alpha)
                              : double(*static_cast<float const*>(alpha)),
               before = in_double ? *static_cast<double const*>(beta)
                                  : double(*static_cast<float const*>(beta));
  auto const run = [=] {
    using namespace cuda_double;
    auto const reads = [](char const* who) {
      return [who](void const* at, std::size_t bytes) { read(at, bytes, who); };
    };
    each_column(a, p.a, reads("cublasLtMatmul: A"));
    each_column(b, p.b, reads("cublasLtMatmul: B"));
    if (before != 0) each_column(c, p.c, reads("cublasLtMatmul: C"));
    if (p.has_bias()) read(p.o.bias, p.m() * size_of(p.d.type), "cublasLtMatmul: bias");
    each_column(d, p.d, [](void* at, std::size_t n) { write(at, n, "cublasLtMatmul: D"); });
    if (chosen.workspace > 0) {
      write(workspace, chosen.workspace, "cublasLtMatmul: workspace");
      std::memset(real(workspace), 0xa5, chosen.workspace);
    }
    if (in_double)
      multiply<double>(p, by, before, real(a), real(b), real(c), real(d), real(p.o.bias));
    else
      multiply<float>(p, float(by), float(before), real(a), real(b), real(c), real(d),
                      real(p.o.bias));
  };
  return cuda_double::enqueue(stream, run) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                          : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"
