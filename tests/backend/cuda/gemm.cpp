// cuda
/// Products through the double of cuBLASLt beside the CPU's, which meet plain loops.
#include <tessera/backend/cuda/gemm.hpp>

#include <tessera/backend/cpu/gemm.hpp>

#include "../../kernels/check.hpp"
#include "device.hpp"

#include <cuda_double/cublaslt.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

using namespace tessera;
using namespace tessera::test;

namespace {

template <class T>
std::vector<T> stored(std::int64_t n, std::uint64_t seed) {
  std::vector<T> v;
  for (double const x : values<double>(n, seed)) v.push_back(T(x));
  return v;
}

/// One product's operands: A, B and bias are In, C is Out, what is added is T.
template <class T, class In = T, class Out = T>
struct Case {
  GemmShape shape;
  std::vector<In> a, b, bias;
  std::vector<Out> c;
  std::vector<T> add;

  explicit Case(GemmShape const& s)
      : shape(typed(s)),
        a(stored<In>((s.transpose_a ? s.k : s.m) * shape.lda, 1)),
        b(stored<In>((s.transpose_b ? s.n : s.k) * shape.ldb, 2)),
        bias(stored<In>(s.n, 4)),
        c(stored<Out>(s.m * shape.ldc, 3)),
        add(stored<T>(s.m * shape.ldc, 5)) {}

  static GemmShape typed(GemmShape s) {
    s = s.dense();
    s.in = dtype_of<In>, s.out = dtype_of<Out>;
    return s;
  }
  std::vector<Out> on_cores() const {
    CpuGemm<T> const product(shape, 64_MiB);
    std::vector<std::byte> workspace(std::size_t(product.workspace()));
    std::vector<Out> to = c;
    product.run(a.data(), b.data(), to.data(), shape.bias ? bias.data() : nullptr,
                shape.add ? add.data() : nullptr, workspace.data());
    return to;
  }
  std::vector<Out> on_device(CudaGemm<T> const& product) const {
    Stream const stream;
    Buffer<In> const left(a, stream), right(b, stream), biases(bias, stream);
    Buffer<Out> const to(c, stream);
    Buffer<T> const other(add, stream);
    Buffer<std::byte> const workspace(std::vector<std::byte>(std::size_t(product.workspace()) + 1),
                                      stream);
    product.run(left.get(), right.get(), to.get(), shape.bias ? biases.get() : nullptr,
                shape.add ? other.get() : nullptr, workspace.get(), stream.get());
    return to.read();
  }
  void meets() const {
    CAPTURE(shape.text());
    CAPTURE(shape.bias);
    CAPTURE(shape.accumulate);
    CAPTURE(shape.add);
    auto const cores = on_cores();
    // Both round sums of k products of values below 4, and a 16-bit C once more: by half a unit in
    // the last of 8 or 11 bits.
    double const last = std::is_same_v<Out, bf16> ? 1.0 / 128 : 1.0 / 1024;
    double const rounding =
        tolerance<T>(double(shape.k + 2) * 2e-7) + (sizeof(Out) == 2 ? last : 0);
    auto const found = on_device(CudaGemm<T>(shape, 64_MiB));
    CHECK(distance(found, std::vector<double>(cores.begin(), cores.end())) < rounding);
    for (std::size_t i = 0; i < found.size(); ++i)  // what lies between the rows of C stays
      if (std::int64_t(i) % shape.ldc >= shape.n && double(found[i]) != double(c[i])) {
        FAIL("written between rows, at " << i);
      }
  }
};

/// Every transpose, with rows that lie together and that do not.
template <class F>
void each_form(F const& f) {
  for (bool const ta : {false, true})
    for (bool const tb : {false, true})
      for (std::int64_t const pad : {0, 5}) {
        GemmShape s{.m = 33, .n = 40, .k = 57, .transpose_a = ta, .transpose_b = tb};
        s = s.dense();
        s.lda += pad, s.ldb += pad, s.ldc += pad;
        f(s);
      }
}

/// What went wrong, or nothing.
template <class F>
std::string sentence(F f) {
  try {
    f();
  } catch (Error const& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE_TEMPLATE("products meet the CPU's in every form", T, float, double) {
  each_form([](GemmShape s) {
    for (bool const bias : {false, true})
      for (int const more : {0, 1, 2}) {
        s.bias = bias, s.accumulate = more == 1, s.add = more == 2;
        Case<T>(s).meets();
      }
  });
}

TEST_CASE_TEMPLATE("products of 16-bit operands meet the CPU's", Low, bf16, fp16) {
  each_form([](GemmShape s) {
    Case<float, Low, Low>(s).meets();
    s.bias = true;
    Case<float, Low, Low>(s).meets();
    s.bias = false;
    Case<float, Low, float>(s).meets();
    s.accumulate = true;
    Case<float, Low, float>(s).meets();
    s.accumulate = false, s.add = true;
    Case<float, Low, float>(s).meets();
  });
}

TEST_CASE_TEMPLATE("products of every extent meet the CPU's", T, float, double) {
  for (std::int64_t const m : {1, 3, 64, 129})
    for (std::int64_t const n : {1, 7, 64, 257})
      for (std::int64_t const k : {1, 16, 300})
        Case<T>({.m = m, .n = n, .k = k, .transpose_b = true, .bias = true}).meets();
}

TEST_CASE("small integers are exact") {
  Case<float> exact({.m = 65, .n = 50, .k = 200, .transpose_a = true, .accumulate = true});
  for (auto* const v : {&exact.a, &exact.b, &exact.c})
    for (float& x : *v) x = std::round(x);
  CHECK(exact.on_device(CudaGemm<float>(exact.shape, 8_MiB)) == exact.on_cores());
}

TEST_CASE("a product runs again, on other operands, and after it was moved") {
  Case<float> const one({.m = 20, .n = 30, .k = 40, .bias = true});
  Case<float> two = one;
  std::reverse(two.a.begin(), two.a.end());
  std::reverse(two.bias.begin(), two.bias.end());
  std::vector<CudaGemm<float>> products;
  products.emplace_back(one.shape, 8_MiB);
  products.emplace_back(GemmShape{.m = 2, .n = 2, .k = 2}, 8_MiB);  // moves the first
  std::optional<CudaGemm<float>> const product(std::move(products.front()));
  auto const wide = [](std::vector<float> const& v) {
    return std::vector<double>(v.begin(), v.end());
  };
  CHECK(distance(one.on_device(*product), wide(one.on_cores())) < 1e-5);
  CHECK(distance(two.on_device(*product), wide(two.on_cores())) < 1e-5);
  CHECK(product->flops() == 2.0 * 20 * 30 * 40);
}

TEST_CASE("an algorithm that needs workspace is chosen within the limit only, and given no less") {
  Case<float> const long_sums({.m = 50, .n = 60, .k = 300});
  CudaGemm<float> const with(long_sums.shape, 64_MiB);
  CHECK(with.workspace() > 0);
  CudaGemm<float> const exactly(long_sums.shape, with.workspace());
  CHECK(exactly.workspace() == with.workspace());
  CudaGemm<float> const without(long_sums.shape, with.workspace() - 1);
  CHECK(without.workspace() == 0);
  CHECK(long_sums.on_device(with) == long_sums.on_device(without));

  Stream const stream;
  Buffer<float> const a(long_sums.a, stream), b(long_sums.b, stream), c(long_sums.c, stream);
  auto const text = sentence(
      [&] { with.run(a.get(), b.get(), c.get(), nullptr, nullptr, nullptr, stream.get()); });
  CHECK(text.find("[50, 300] x [300, 60]: cublasLtMatmul: ") != std::string::npos);
  CHECK(text.find("CUBLAS_STATUS_INVALID_VALUE") != std::string::npos);
}

TEST_CASE("operands may begin at any multiple of 16 bytes, and nowhere else") {
  Case<float, bf16, bf16> const x({.m = 24, .n = 40, .k = 16, .bias = true});
  CudaGemm<float> const product(x.shape, 8_MiB);
  Stream const stream;
  for (std::size_t const skipped : {16, 48, 8}) {
    CAPTURE(skipped);
    Buffer<bf16> const a(x.a, stream, skipped), b(x.b, stream, skipped), c(x.c, stream, skipped),
        bias(x.bias, stream, skipped);
    auto const text = sentence([&] {
      product.run(a.get(), b.get(), c.get(), bias.get(), nullptr, nullptr, stream.get());
    });
    if (skipped % 16 != 0)
      CHECK(text.find("[24, 16] x [16, 40]: an operand begins at no multiple of 16 bytes") !=
            std::string::npos);
    else
      CHECK(text == "");
    stream.wait();
  }
}

TEST_CASE_TEMPLATE("a product that makes no sense is refused and named", T, float, double) {
  auto const made = [](GemmShape s) { return sentence([s] { CudaGemm<T>(s, 8_MiB); }); };
  CHECK(made({.m = 2, .n = 3, .k = 4}) == "");
  CHECK(made({.m = 0, .n = 3, .k = 4}).find("[0, 4] x [4, 3]: extents") != std::string::npos);
  CHECK(made({.m = 2, .n = 3, .k = 4, .lda = 3}).find("rows not overlap") != std::string::npos);
  CHECK(made({.m = 2, .n = 3, .k = 4, .accumulate = true, .add = true}).find("not both") !=
        std::string::npos);
  CHECK(made({.m = 2, .n = 3, .k = 4, .bias = true, .in = DType::bf16})
            .find("a bias that is stored like C only") != std::string::npos);
  CHECK(made({.m = 2, .n = 3, .k = 4, .accumulate = true, .in = DType::bf16, .out = DType::bf16})
            .find("it can add to floats only") != std::string::npos);
}

TEST_CASE("products share a context, which goes with the last of them, and run() makes nothing") {
  REQUIRE(cuda_double::cublaslt_objects() == 0);
  long const before = cuda_double::cublaslt_contexts_made();
  Case<float> const x({.m = 4, .n = 4, .k = 4, .bias = true});
  {
    CudaGemm<float> const one(x.shape, 8_MiB);
    long const objects = cuda_double::cublaslt_objects();
    CHECK(objects == 5);  // context, operation, three layouts
    x.on_device(one);
    CHECK(cuda_double::cublaslt_objects() == objects);
    CudaGemm<double> const two({.m = 4, .n = 4, .k = 4}, 8_MiB);
    CHECK(cuda_double::cublaslt_contexts_made() == before + 1);
  }
  CHECK(cuda_double::cublaslt_objects() == 0);
  CudaGemm<float> const again(x.shape, 8_MiB);
  CHECK(cuda_double::cublaslt_contexts_made() == before + 2);
}

TEST_CASE("a call that fails names product, call, code and a way on; nothing is left behind") {
  GemmShape const shape{.m = 4, .n = 8, .k = 16, .bias = true};
  for (char const* const call :
       {"cublasLtCreate", "cublasLtMatmulDescCreate", "cublasLtMatrixLayoutCreate",
        "cublasLtMatmulDescSetAttribute", "cublasLtMatmulPreferenceCreate",
        "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic"}) {
    CAPTURE(call);
    cuda_double::fail_next(call, CUBLAS_STATUS_ALLOC_FAILED);
    auto const text = sentence([&] { CudaGemm<float>(shape, 8_MiB); });
    CHECK(text.find("matrix product [4, 16] x [16, 8]: " + std::string(call) + ": ") !=
          std::string::npos);
    CHECK(text.find("CUBLAS_STATUS_ALLOC_FAILED") != std::string::npos);
    CHECK(text.find("CUBLASLT_LOG_LEVEL") != std::string::npos);
    CHECK(cuda_double::cublaslt_objects() == 0);
  }
  cuda_double::fail_next("cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_NOT_SUPPORTED);
  auto const text = sentence([&] { CudaGemm<float>(shape, 8_MiB); });
  CHECK(text.find("knows no algorithm for it with 8388608 bytes") != std::string::npos);
  CHECK(text.find("raise Cuda::gemm_workspace") != std::string::npos);

  Case<float> const x(shape);
  CudaGemm<float> const product(shape, 8_MiB);
  for (char const* const call : {"cublasLtMatmulDescSetAttribute", "cublasLtMatmul"}) {
    cuda_double::fail_next(call, CUBLAS_STATUS_EXECUTION_FAILED);
    auto const told = sentence([&] { x.on_device(product); });
    CHECK(told.find("[4, 16] x [16, 8]: " + std::string(call) + ": ") != std::string::npos);
    CHECK(told.find("CUBLAS_STATUS_EXECUTION_FAILED") != std::string::npos);
  }
}
