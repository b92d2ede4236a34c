#include <tessera/kernels/reduce.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE_TEMPLATE("a sum of squares meets a plain loop and does not depend on threads", T, float,
                   double) {
  for (std::int64_t const n : {1, 7, 31, 128, 129, 256, 257, 768, 1000, 70000}) {
    CAPTURE(n);
    auto const x = values<T>(n, 5);
    double expected = 0;
    for (T const v : x) expected += double(v) * double(v);
    std::vector<double> scratch(std::size_t((n + 255) / 256)), found(1);
    CHECK(same_on_threads([&] {
      kernel::squared_sum(CpuTeam{}, found.data(), x.data(), n, scratch.data());
      return found;
    }));
    CHECK(std::abs(found[0] - expected) <= tolerance<T>(2e-7) * expected);
  }
}

TEST_CASE("rows are added from the left, and what lies beside them stays") {
  for (std::int64_t const height : {1, 2, 5})
    for (std::int64_t const n : {1, 7, 4096, 5000}) {
      CAPTURE(n);
      std::int64_t const stride = n + 3;
      auto x = values<double>(height * stride, 8);
      for (double& v : x) v /= 3;  // so that sums round
      std::vector<double> expected(x.begin(), x.begin() + n), to(std::size_t(n) + 1, 7.0);
      for (std::int64_t k = 1; k < height; ++k)
        for (std::int64_t i = 0; i < n; ++i)
          expected[std::size_t(i)] = expected[std::size_t(i)] + x[std::size_t(k * stride + i)];
      expected.push_back(7);
      CpuTeam{}.run(kernel::AddRows{to.data(), x.data(), n, height, stride});
      CHECK(to == expected);
    }
}

TEST_CASE("sums of squares of parts that are multiples of 256 continue each other exactly") {
  std::int64_t const n = 8 * 256;
  auto const x = values<float>(n, 6);
  std::vector<double> whole(8), part(8);
  double sum = 0;
  kernel::squared_sum(CpuTeam{}, &sum, x.data(), n, whole.data());
  for (std::int64_t k = 0; k < 4; ++k)
    kernel::squared_sum(CpuTeam{}, &sum, x.data() + 512 * k, 512, part.data() + 2 * k);
  CHECK(whole == part);
}
