#include <tessera/backend/cpu/gemm.hpp>

#include "../../kernels/check.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

using namespace tessera;
using namespace tessera::test;

namespace {

/// A product with operands of its own and the same product by plain loops in double.
template <class T>
struct Case {
  GemmShape shape;
  std::vector<T> a, b, c, bias, add;

  explicit Case(GemmShape const& s)
      : shape(s.dense()),
        a(values<T>((s.transpose_a ? s.k : s.m) * shape.lda, 1)),
        b(values<T>((s.transpose_b ? s.n : s.k) * shape.ldb, 2)),
        c(values<T>(s.m * shape.ldc, 3)),
        bias(values<T>(s.n, 4)),
        add(values<T>(s.m * shape.ldc, 5)) {}

  std::vector<double> expected() const {
    GemmShape const& s = shape;
    std::vector<double> to(c.begin(), c.end());
    for (std::int64_t i = 0; i < s.m; ++i)
      for (std::int64_t j = 0; j < s.n; ++j) {
        std::size_t const at = std::size_t(i * s.ldc + j);
        double sum = s.accumulate ? double(c[at]) : s.add ? double(add[at]) : 0;
        if (s.bias) sum += double(bias[std::size_t(j)]);
        for (std::int64_t k = 0; k < s.k; ++k)
          sum += double(a[std::size_t(s.transpose_a ? k * s.lda + i : i * s.lda + k)]) *
                 double(b[std::size_t(s.transpose_b ? j * s.ldb + k : k * s.ldb + j)]);
        to[at] = sum;
      }
    return to;
  }
  std::vector<T> found(CpuGemm<T> const& product) const {
    std::vector<T> to = c;
    std::vector<std::byte> workspace(std::size_t(product.workspace()));
    product.run(a.data(), b.data(), to.data(), shape.bias ? bias.data() : nullptr,
                shape.add ? add.data() : nullptr, workspace.data());
    return to;
  }
  void meets() const {
    CAPTURE(shape.text());
    CAPTURE(shape.bias);
    CAPTURE(shape.accumulate);
    CAPTURE(shape.add);
    // Sums of k products of values below 4, each rounded.
    double const rounding = tolerance<T>(double(shape.k + 2) * 1e-7);
    CHECK(distance(found(CpuGemm<T>(shape, 64_MiB)), expected()) < rounding);
  }
};

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

namespace {

template <class Low>
constexpr DType stored = std::is_same_v<Low, bf16> ? DType::bf16 : DType::fp16;

/// A product of 16-bit operands, as Gemm chooses and by conversion, beside plain loops.
template <class Low>
void meets_low(GemmShape shape) {
  shape = shape.dense();
  shape.in = stored<Low>;
  CAPTURE(shape.text());
  CAPTURE(shape.bias);
  CAPTURE(shape.accumulate);
  CAPTURE(shape.add);
  Case<float> exact(shape);
  auto const rounded = [](std::vector<float>& of) {
    std::vector<Low> low(of.begin(), of.end());
    of.assign(low.begin(), low.end());
    return low;
  };
  auto const a = rounded(exact.a), b = rounded(exact.b), bias = rounded(exact.bias);
  std::vector<double> const expected = exact.expected();
  bool const to_low = shape.out != DType::real;
  auto const check = [&](auto const& product) {
    std::vector<std::byte> workspace(std::size_t(product.workspace()));
    std::vector<float> c = exact.c;
    std::vector<Low> low(c.begin(), c.end());
    if (to_low)  // what lies between the rows of C must stay
      for (std::size_t i = 0; i < c.size(); ++i)
        if (std::int64_t(i) % shape.ldc < shape.n) low[i] = Low(0.f);
    product.run(a.data(), b.data(), to_low ? static_cast<void*>(low.data()) : c.data(), bias.data(),
                exact.add.data(), workspace.data());
    // Products are exact in float. k partial sums of about sqrt(k) are rounded at random, which
    // adds up to 2.4e-8 k in the mean of squares; no element is eight times as far off.
    double const sums = double(shape.k + 2) * 2e-7;
    if (!to_low) {
      CHECK(distance(c, expected) < sums);
      return;
    }
    double worst = 0;
    for (std::size_t i = 0; i < low.size(); ++i) {
      bool const inside = std::int64_t(i) % shape.ldc < shape.n;
      double const wanted = inside ? expected[i] : double(float(Low(exact.c[i])));
      worst = std::max(worst,
                       std::abs(double(float(low[i])) - wanted) / std::max(1.0, std::abs(wanted)));
    }
    // Half a unit in the last of 8 or 11 bits beside it.
    CHECK(worst < (std::is_same_v<Low, bf16> ? 1.0 / 256 : 1.0 / 2048) + sums);
  };
  check(CpuGemm<float>(shape, 64_MiB));
  check(ConvertedGemm(shape, 64_MiB));
}

}  // namespace

TEST_CASE_TEMPLATE("products in 16 bits meet plain loops over the rounded operands", Low, bf16,
                   fp16) {
  for (bool const ta : {false, true})
    for (bool const tb : {false, true})
      for (DType const out : {DType::real, stored<Low>})
        for (std::int64_t const pad : {0, 5}) {
          GemmShape s{.m = 33, .n = 40, .k = 57, .transpose_a = ta, .transpose_b = tb};
          s = s.dense();
          s.lda += pad, s.ldb += pad, s.ldc += pad;
          s.out = out;
          s.bias = tb;
          s.accumulate = ta && out == DType::real;
          s.add = !ta && out == DType::real;
          meets_low<Low>(s);
        }
  // More than a block in every direction.
  meets_low<Low>({.m = 300, .n = 600, .k = 1100, .transpose_b = true, .bias = true});
  meets_low<Low>({.m = 270, .n = 530, .k = 600, .transpose_a = true, .accumulate = true});
  CHECK(sentence([] {
          CpuGemm<float>(GemmShape{.m = 16,
                                   .n = 16,
                                   .k = 16,
                                   .lda = 16,
                                   .ldb = 16,
                                   .ldc = 16,
                                   .accumulate = true,
                                   .in = stored<Low>,
                                   .out = stored<Low>},
                         64_MiB);
        }).find("it can add to floats only") != std::string::npos);
}

TEST_CASE_TEMPLATE("products meet plain loops in every form", T, float, double) {
  for (bool const ta : {false, true})
    for (bool const tb : {false, true})
      for (bool const bias : {false, true})
        for (int const more : {0, 1, 2})
          for (std::int64_t const pad : {0, 5}) {
            GemmShape s{.m = 33, .n = 40, .k = 57, .transpose_a = ta, .transpose_b = tb};
            s = s.dense();
            s.lda += pad, s.ldb += pad, s.ldc += pad;
            s.bias = bias, s.accumulate = more == 1, s.add = more == 2;
            Case<T>(s).meets();  // what lies between the rows of C is part of the comparison
          }
}

TEST_CASE_TEMPLATE("products of every extent, one included, meet plain loops", T, float, double) {
  for (std::int64_t const m : {1, 3, 64, 129})
    for (std::int64_t const n : {1, 7, 64, 257})
      for (std::int64_t const k : {1, 16, 300})
        Case<T>({.m = m, .n = n, .k = k, .transpose_b = true, .bias = true}).meets();
}

TEST_CASE("a product runs again, on other operands, and after it was moved") {
  Case<float> const one({.m = 20, .n = 30, .k = 40});
  Case<float> two = one;
  std::reverse(two.a.begin(), two.a.end());
  std::vector<CpuGemm<float>> products;
  products.emplace_back(one.shape, 8_MiB);
  products.emplace_back(GemmShape{.m = 2, .n = 2, .k = 2}, 8_MiB);  // moves the first
  std::optional<CpuGemm<float>> const product(std::move(products.front()));
  CHECK(distance(one.found(*product), one.expected()) < 1e-5);
  CHECK(distance(two.found(*product), two.expected()) < 1e-5);
  CHECK(one.found(*product) == one.found(*product));
  CHECK(product->flops() == 2.0 * 20 * 30 * 40);
}

TEST_CASE("small integers are exact") {
  Case<float> exact({.m = 65, .n = 50, .k = 200, .transpose_a = true, .accumulate = true});
  for (auto* const v : {&exact.a, &exact.b, &exact.c})
    for (float& x : *v) x = std::round(x);
  CHECK(distance(exact.found(CpuGemm<float>(exact.shape, 8_MiB)), exact.expected()) == 0);
}

TEST_CASE_TEMPLATE("a product that makes no sense is refused and named", T, float, double) {
  auto const made = [](GemmShape s) { return sentence([s] { CpuGemm<T>(s, 8_MiB); }); };
  CHECK(made({.m = 2, .n = 3, .k = 4}) == "");
  CHECK(made({.m = 0, .n = 3, .k = 4}).find("[0, 4] x [4, 3]: extents") != std::string::npos);
  CHECK(made({.m = 2, .n = 3, .k = 4, .lda = 3}).find("rows not overlap") != std::string::npos);
  CHECK(made({.m = 2, .n = 3, .k = 4, .accumulate = true, .add = true}).find("not both") !=
        std::string::npos);
  CHECK(made({.m = 2, .n = 3, .k = 4, .in = DType::bf16, .out = DType::fp16})
            .find("C is real or stored like A and B") != std::string::npos);
}

TEST_CASE("a product that wants more workspace than it may have names the option") {
  CpuGemm<float> const product({.m = 300, .n = 300, .k = 300}, 64_MiB);
  auto const text =
      sentence([&] { CpuGemm<float>({.m = 300, .n = 300, .k = 300}, product.workspace() - 1); });
  CHECK(text.find("Cpu::gemm_workspace") != std::string::npos);
}

TEST_CASE("the peak is a positive number of operations per second, quickly") {
  double const peak = gemm_peak(0.05);
  CHECK(peak > 1e8);
  CHECK(peak < 1e15);
}
