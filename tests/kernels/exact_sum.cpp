#include <tessera/kernels/exact_sum.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("any number of rows leaves the sum that adding one by one does") {
  for (std::int64_t const n : {1, 5, 1000}) {
    std::vector<double> x = values<double>(n, 1);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= i % 3 == 0 ? 1e200 : 1e-200;
    ExactSum plain;
    plain.add(3.5);
    for (double const v : x) plain.add(v);
    for (double const v : x) plain.add(v);
    for (std::int64_t const rows : {1, 2, 7, 64}) {
      std::vector<ExactSum> sums(static_cast<std::size_t>(rows));
      ExactSum total;
      total.add(3.5);
      for (int turn = 0; turn < 2; ++turn) {
        CpuTeam{}.run(kernel::SumExactly{sums.data(), x.data(), n, rows});
        CpuTeam{}.run(kernel::AddSums{&total, sums.data(), rows});
      }
      CHECK(total.value() == plain.value());
    }
  }
}
