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

TEST_CASE("sums from the left, side by side, are a plain loop's wherever they are cut") {
  for (std::int64_t const n : {1, 2, 1023, 1024, 1025, 5000}) {
    CAPTURE(n);
    auto const x = values<double>(3 * n, 8);
    double expected[2]{};
    for (std::int64_t k = 0; k < n; ++k)
      for (int r = 0; r < 2; ++r) expected[r] = expected[r] + x[std::size_t(3 * k + r)];
    for (std::int64_t const cut : {std::int64_t(0), n / 3}) {
      double to[3]{7, 7, 7};
      for (std::int64_t first : {std::int64_t(0), cut}) {
        std::int64_t const end = first < cut ? cut : n;
        CpuTeam{}.run(kernel::AddInOrder{.to = to,
                                         .x = x.data() + 3 * first,
                                         .n = end - first,
                                         .stride = 3,
                                         .sums = 2,
                                         .accumulate = first > 0});
      }
      CHECK(to[0] == expected[0]);
      CHECK(to[1] == expected[1]);
      CHECK(to[2] == 7);
    }
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
