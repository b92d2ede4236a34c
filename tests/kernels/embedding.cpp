#include <tessera/kernels/embedding.hpp>

#include "check.hpp"

#include <algorithm>
#include <numeric>

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr std::int64_t vocabulary = 11, sequences = 3, tokens = 7, positions = 9;

std::vector<std::int32_t> some_tokens() {  // some come often, some never
  std::vector<std::int32_t> t;
  for (std::int64_t i = 0; i < sequences * tokens; ++i)
    t.push_back(std::int32_t(i * i % vocabulary));
  return t;
}

}  // namespace

TEST_CASE_TEMPLATE("tokens find their rows, and gradients return to them", T, float, double) {
  auto const t = some_tokens();
  auto const ids = view(t, shape_of(sequences, tokens));
  for (std::int64_t const cols : lengths) {
    CAPTURE(cols);
    auto const table = values<T>(vocabulary * cols, 1);
    std::vector<T> y(t.size() * std::size_t(cols));
    CpuTeam{}.run(kernel::EmbeddingForward<T>{.y = view(y, shape_of(sequences, tokens, cols)),
                                              .tokens = ids,
                                              .table = view(table, shape_of(vocabulary, cols))});
    bool equal = true;
    for (std::int64_t i = 0; i < std::int64_t(y.size()); ++i)
      equal = equal && y[i] == table[t[i / cols] * cols + i % cols];
    CHECK(equal);

    auto const dy = values<T>(std::int64_t(y.size()), 2);
    for (bool const accumulate : {false, true}) {
      std::vector<double> expected(table.begin(), table.end());
      if (!accumulate) expected.assign(expected.size(), 0.0);
      for (std::int64_t i = 0; i < std::int64_t(dy.size()); ++i)
        expected[t[i / cols] * cols + i % cols] += double(dy[i]);
      std::vector<T> found;
      CHECK(same_on_threads([&] {
        found = table;
        CpuTeam{}.run(
            kernel::EmbeddingBackward<T>{.dtable = view(found, shape_of(vocabulary, cols)),
                                         .dy = view(dy, shape_of(sequences, tokens, cols)),
                                         .tokens = ids,
                                         .accumulate = accumulate});
        return found;
      }));
      CHECK(distance(found, expected) <= tolerance<T>(1e-6));  // at most 6 values below 2
    }
  }
}

TEST_CASE_TEMPLATE("runs of equal tokens sum to the bits of a walk in order", T, float, double,
                   bf16, fp16) {
  std::int64_t const rows = sequences * tokens;
  std::vector<std::int32_t> const repeated = some_tokens(), one(std::size_t(rows), 4);
  std::vector<std::int32_t> different(std::size_t(rows), 0);
  std::iota(different.rbegin(), different.rend(), 0);
  for (auto const& t : {repeated, one, different}) {
    std::vector<std::int32_t> places(t.size()), sorted;
    std::iota(places.begin(), places.end(), 0);
    std::stable_sort(places.begin(), places.end(), [&](auto a, auto b) { return t[a] < t[b]; });
    for (std::int32_t const p : places) sorted.push_back(t[p]);
    for (std::int64_t const cols : lengths) {
      CAPTURE(cols);
      Shape const of_table = shape_of(rows, cols);
      auto const dy = values<T>(rows * cols, 2);
      auto expected = values<Wide<T>>(of_table.count(), 1), found = expected;
      CpuTeam{}.run(kernel::EmbeddingBackward<T>{.dtable = view(expected, of_table),
                                                 .dy = view(dy, shape_of(rows, cols)),
                                                 .tokens = view(t, shape_of(rows)),
                                                 .accumulate = true});
      CpuTeam{}.run(kernel::EmbeddingRuns<T>{.dtable = view(found, of_table),
                                             .dy = view(dy, shape_of(rows, cols)),
                                             .tokens = sorted.data(),
                                             .places = places.data()});
      CHECK(found == expected);
    }
  }
}

TEST_CASE_TEMPLATE("positions are added per token, and their gradients sum over sequences", T,
                   float, double) {
  for (std::int64_t const cols : lengths) {
    CAPTURE(cols);
    auto const table = values<T>(positions * cols, 3), x = values<T>(sequences * tokens * cols, 4);
    Shape const shape = shape_of(sequences, tokens, cols);
    std::vector<T> y = x;
    CpuTeam{}.run(kernel::PositionForward<T>{
        .y = view(y, shape), .x = view(y, shape), .table = view(table, shape_of(positions, cols))});
    std::vector<double> sum, gradient(table.size(), 0.0);
    for (std::int64_t i = 0; i < std::int64_t(x.size()); ++i) {
      std::int64_t const at = i / cols % tokens * cols + i % cols;
      sum.push_back(double(x[i]) + double(table[at]));
      gradient[at] += double(x[i]);
    }
    CHECK(distance(y, sum) <= tolerance<T>(6e-8));

    for (bool const accumulate : {false, true}) {
      std::vector<double> expected = gradient;
      if (accumulate)
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += double(table[i]);
      std::vector<T> found;
      CHECK(same_on_threads([&] {
        found = table;
        CpuTeam{}.run(kernel::PositionBackward<T>{.dtable = view(found, shape_of(positions, cols)),
                                                  .dy = view(x, shape),
                                                  .accumulate = accumulate});
        return found;
      }));
      CHECK(distance(found, expected) <= tolerance<T>(5e-7));
    }
  }
}
