#include <tessera/kernels/bias.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE_TEMPLATE("a bias is added to every row", T, float, double) {
  for (std::int64_t const cols : lengths) {
    CAPTURE(cols);
    std::int64_t const rows = 5;
    auto y = values<T>(rows * cols, 1);
    auto const b = values<T>(cols, 2);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < rows * cols; ++i)
      expected.push_back(double(y[i]) + double(b[i % cols]));
    Shape const shape = shape_of(rows, cols);
    CpuTeam{}.run(kernel::BiasAdd<T>{.y = view(y, shape), .x = view(y, shape), .b = view(b)});
    CHECK(distance(y, expected) <= tolerance<T>(6e-8));
  }
}

TEST_CASE_TEMPLATE("a bias's gradient is the sum over rows, set or added", T, float, double) {
  for (std::int64_t const rows : {1, 7, 8, 9, 37})
    for (std::int64_t const cols : lengths)
      for (bool const accumulate : {false, true}) {
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(accumulate);
        auto const dy = values<T>(rows * cols, 3), before = values<T>(cols, 4);
        std::vector<double> expected(before.begin(), before.end());
        if (!accumulate) expected.assign(expected.size(), 0.0);
        for (std::int64_t i = 0; i < rows * cols; ++i) expected[i % cols] += double(dy[i]);
        std::vector<T> out;
        CHECK(same_on_threads([&] {
          out = before;
          CpuTeam{}.run(kernel::SumRows<T>{
              .out = view(out), .dy = view(dy, shape_of(rows, cols)), .accumulate = accumulate});
          return out;
        }));
        // 37 values below 2: partial sums stay below 32, half a unit there is 1e-6, few add up.
        CHECK(distance(out, expected) <= tolerance<T>(3e-6));
      }
}
