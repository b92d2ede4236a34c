#include <tessera/kernels/elementwise.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE_TEMPLATE("sums, products and scaling meet a plain loop, in place too", T, float, double) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const a = values<T>(n, 1), b = values<T>(n, 2);
    std::vector<T> y(a.size());
    std::vector<double> sum, product, scaled;
    T const factor = T(0.3);
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum.push_back(double(a[i]) + double(b[i]));
      product.push_back(double(a[i]) * double(b[i]));
      scaled.push_back(double(a[i]) * double(factor));
    }
    double const one_rounding = tolerance<T>(6e-8);

    CpuTeam{}.run(kernel::Add<T>{.y = view(y), .a = view(a), .b = view(b)});
    CHECK(distance(y, sum) <= one_rounding);
    y = a;
    CpuTeam{}.run(kernel::Accumulate<T>{.y = view(y), .x = view(b)});
    CHECK(distance(y, sum) <= one_rounding);
    CpuTeam{}.run(kernel::Multiply<T>{.y = view(y), .a = view(a), .b = view(b)});
    CHECK(distance(y, product) <= one_rounding);
    y = a;
    CpuTeam{}.run(kernel::Scale<T>{.y = view(y), .x = view(y), .factor = &factor});
    CHECK(distance(y, scaled) <= one_rounding);
  }
}

TEST_CASE_TEMPLATE("16-bit values are added to floats as their floats are, to the bit", Low, bf16,
                   fp16) {
  for (std::int64_t const n : lengths) {
    auto const a = values<float>(n, 1), wide = values<float>(n, 2);
    std::vector<Low> b;
    std::vector<float> sum;
    for (std::size_t i = 0; i < a.size(); ++i) {
      b.push_back(Low(wide[i]));
      sum.push_back(a[i] + float(b[i]));
    }
    std::vector<float> y = a;
    CpuTeam{}.run(kernel::Add<float, Low>{.y = view(y), .a = view(y), .b = view(b)});
    CHECK(y == sum);
  }
}

TEST_CASE("more elements than a chunk, on one and on two threads") {
  for (std::int64_t const n : {4096, 4097, 20000}) {
    auto const a = values<float>(n, 3), b = values<float>(n, 4);
    std::vector<float> y(a.size());
    CHECK(same_on_threads([&] {
      std::fill(y.begin(), y.end(), 0.0f);
      CpuTeam{}.run(kernel::Add<float>{.y = view(y), .a = view(a), .b = view(b)});
      return y;
    }));
    CHECK(y.back() == a.back() + b.back());
  }
}
