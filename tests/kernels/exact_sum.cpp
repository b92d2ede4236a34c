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
        CpuTeam{}.run(kernel::AddSums{&total, sums.data(), rows, 1, true});
      }
      CHECK(total.value() == plain.value());
    }
  }
}

TEST_CASE("columns have sums of their own, in any number of parts and calls") {
  std::int64_t const n = 1000, width = 3;
  std::vector<double> x = values<double>(n * width, 2);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::ldexp(x[i], int(i * 7 % 200) - 100);
  std::vector<ExactSum> plain(static_cast<std::size_t>(width));
  for (std::size_t i = x.size(); i-- > 0;) plain[i % 3].add(x[i]);
  for (std::int64_t const parts : {1, 2, 7, 64})
    for (std::int64_t const cut : {1000, 999, 17}) {
      std::vector<ExactSum> sums(static_cast<std::size_t>(parts * width)), total(3);
      for (ExactSum& left : total) left.add(1e40);  // of another sum: it goes
      for (std::int64_t at = 0; at < n; at += cut)
        CpuTeam{}.run(kernel::SumExactly{.sums = sums.data(),
                                         .x = x.data() + at * width,
                                         .n = std::min(cut, n - at),
                                         .parts = parts,
                                         .width = width,
                                         .accumulate = at > 0});
      CpuTeam{}.run(kernel::AddSums{total.data(), sums.data(), parts, width});
      std::vector<double> found(3);
      CpuTeam{}.run(kernel::RoundSums{found.data(), total.data(), width});
      for (std::size_t c = 0; c < 3; ++c) CHECK(found[c] == plain[c].value());
    }
}

TEST_CASE("what is not finite stays") {
  std::vector<double> const x{1, INFINITY, 2, 3, -INFINITY, 4};
  for (std::int64_t const parts : {1, 2, 3}) {
    std::vector<ExactSum> sums(static_cast<std::size_t>(2 * parts)), total(2);
    std::vector<double> found(2);
    CpuTeam{}.run(kernel::SumExactly{sums.data(), x.data(), 3, parts, 2});
    CpuTeam{}.run(kernel::AddSums{total.data(), sums.data(), parts, 2});
    CpuTeam{}.run(kernel::RoundSums{found.data(), total.data(), 2});
    CHECK(found[0] == -INFINITY);
    CHECK(found[1] == INFINITY);
  }
}

TEST_CASE("a sum has terms enough to be worth its bytes, and there is room for it") {
  using Sum = kernel::SumExactly;
  static_assert(Sum::parts_of(1, 100) == 1 && Sum::parts_of(33, 100) == 2);
  static_assert(Sum::parts_of(1 << 30, 100) == 100);
  static_assert(Sum::parts_of(1 << 30, 1 << 30) == Sum::most_parts);
}
