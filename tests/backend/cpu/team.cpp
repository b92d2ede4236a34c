#include <tessera/backend/cpu/team.hpp>

#include "../../kernels/check.hpp"

#include <atomic>

using namespace tessera;
using namespace tessera::test;

namespace {

/// The tree of core/team.hpp, written out.
template <class T, class Join>
T tree(T start, std::vector<T> const& x, Join join) {
  T p[lane_partials];
  std::fill(p, p + lane_partials, start);
  for (std::size_t i = 0; i < x.size(); ++i)
    p[i % lane_partials] = join(p[i % lane_partials], x[i]);
  for (int half = lane_partials / 2; half > 0; half /= 2)
    for (int j = 0; j < half; ++j) p[j] = join(p[j], p[j + half]);
  return p[0];
}

/// Counts how often each row ran.
struct Visits {
  std::vector<std::atomic<int>>* of;
  std::int64_t rows() const { return std::int64_t(of->size()); }
  template <Lane L>
  void operator()(L const&, std::int64_t r) const {
    ++(*of)[std::size_t(r)];
  }
};

}  // namespace

TEST_CASE_TEMPLATE("a lane's sum and max are the fixed tree over 128 partials", T, float, double) {
  for (std::int64_t const n : {0, 1, 7, 31, 127, 128, 129, 255, 256, 257, 384, 768, 1000, 50257}) {
    CAPTURE(n);
    auto const x = values<T>(n, 1);
    T const* const at = x.data();
    CHECK(SerialLane{}.sum(n, [=](std::int64_t i) { return at[i]; }) ==
          tree(T(0), x, [](T a, T b) { return a + b; }));
    CHECK(SerialLane{}.max(n, [=](std::int64_t i) { return at[i]; }) ==
          tree(T(-INFINITY), x, [](T a, T b) { return a < b ? b : a; }));
  }
}

TEST_CASE("a lane's sum is not the plain sum: the tree is what the test above sees") {
  auto const x = values<float>(1000, 1);
  float plain = 0;
  for (float const v : x) plain += v;
  float const* const at = x.data();
  CHECK(SerialLane{}.sum(1000, [=](std::int64_t i) { return at[i]; }) != plain);
}

TEST_CASE("a lane calls its function once for every column, and once() a single time") {
  for (std::int64_t const n : {0, 1, 7, 31, 128, 129, 1000}) {
    std::vector<int> seen(std::size_t(n), 0);
    int* const at = seen.data();
    SerialLane{}.each(n, [=](std::int64_t i) { ++at[i]; });
    SerialLane{}.sum(n, [=](std::int64_t i) { return ++at[i]; });
    SerialLane{}.max(n, [=](std::int64_t i) { return double(++at[i]); });
    CHECK(std::count(seen.begin(), seen.end(), 3) == n);
  }
  int times = 0;
  SerialLane{}.once([&] { ++times; });
  CHECK(times == 1);
}

TEST_CASE("a team runs every row and every element once, on any number of threads") {
  for (int const threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    for (std::int64_t const n : {0, 1, 2, 5, 2047, 2048, 2049, 10000}) {
      std::vector<std::atomic<int>> rows(static_cast<std::size_t>(n));
      CpuTeam{}.run(Visits{&rows});
      CHECK(std::count(rows.begin(), rows.end(), 1) == n);
      std::vector<int> seen(std::size_t(n), 0);
      int* const at = seen.data();
      CpuTeam{}.each(n, [=](std::int64_t i) { ++at[i]; });
      CHECK(std::count(seen.begin(), seen.end(), 1) == n);
    }
  }
}

TEST_CASE("each() gives the same bits on one thread and on two, tails included") {
  std::int64_t const n = 3 * 2048 + 13;
  auto const x = values<float>(n, 2);
  CHECK(same_on_threads([&] {
    std::vector<float> y(x.size());
    float const* const from = x.data();
    float* const to = y.data();
    CpuTeam{}.each(n, [=](std::int64_t i) { to[i] = from[i] * from[i] + 0.3f * from[i]; });
    return y;
  }));
}
