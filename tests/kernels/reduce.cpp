// nvcc
#include <tessera/kernels/reduce.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class T>
kernel::SumRanks<T> sum_of(std::vector<std::vector<T>> const& buffers, T* out, bool accumulate) {
  kernel::SumRanks<T> sum{.out = out,
                          .from = {},
                          .ranks = int(buffers.size()),
                          .n = std::int64_t(buffers[0].size()),
                          .accumulate = accumulate};
  for (std::size_t k = 0; k < buffers.size(); ++k) sum.from[k] = buffers[k].data();
  return sum;
}

}  // namespace

TEST_CASE_TEMPLATE("ranks are summed in rank order to the bit, set or added, into any of them", T,
                   float, double) {
  for (int const ranks : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64})
    for (std::int64_t const n : {1, 7, 31, 128, 129, 768, 1000, 4096 + 257}) {
      CAPTURE(ranks);
      CAPTURE(n);
      std::vector<std::vector<T>> from;
      for (int k = 0; k < ranks; ++k) from.push_back(values<T>(n, std::uint64_t(k + 1)));
      std::vector<T> expected = from[0];
      for (int k = 1; k < ranks; ++k)
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = expected[i] + from[k][i];

      std::vector<T> out(expected.size());
      CHECK(same_on_threads([&] {
        CpuTeam{}.run(sum_of(from, out.data(), false));
        return out;
      }));
      CHECK(out == expected);

      std::vector<T> more = values<T>(n, 99), sum(more.size());
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = more[i] + expected[i];
      CpuTeam{}.run(sum_of(from, more.data(), true));
      CHECK(more == sum);

      for (int const k : {0, ranks / 2, ranks - 1}) {
        auto own = from;
        CpuTeam{}.run(sum_of(own, own[k].data(), false));
        CHECK(own[k] == expected);
      }
    }
}

TEST_CASE_TEMPLATE("a sum of squares meets a plain loop and does not depend on threads", T, float,
                   double) {
  for (std::int64_t const n : {1, 7, 31, 128, 129, 256, 257, 768, 1000, 70000}) {
    CAPTURE(n);
    auto const x = values<T>(n, 5);
    double expected = 0;
    for (T const v : x) expected += double(v) * double(v);
    std::vector<double> scratch(std::size_t((n + 255) / 256)), found(1);
    CHECK(same_on_threads([&] {
      found[0] = kernel::squared_sum(CpuTeam{}, x.data(), n, scratch.data());
      return found;
    }));
    CHECK(std::abs(found[0] - expected) <= tolerance<T>(2e-7) * expected);
  }
}

TEST_CASE("sums of squares of parts that are multiples of 256 continue each other exactly") {
  std::int64_t const n = 8 * 256;
  auto const x = values<float>(n, 6);
  std::vector<double> whole(8), part(8);
  kernel::squared_sum(CpuTeam{}, x.data(), n, whole.data());
  for (std::int64_t k = 0; k < 4; ++k)
    kernel::squared_sum(CpuTeam{}, x.data() + 512 * k, 512, part.data() + 2 * k);
  CHECK(whole == part);
}
