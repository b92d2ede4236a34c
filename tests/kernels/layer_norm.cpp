#include <tessera/kernels/layer_norm.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double epsilon = 1e-5;

/// Everything in double, for one shape.
struct Reference {
  std::vector<double> y, statistics, dx, dgain, dshift;

  template <class T>
  Reference(std::int64_t rows, std::int64_t cols, std::vector<T> const& x,
            std::vector<T> const& gain, std::vector<T> const& shift, std::vector<T> const& dy)
      : dgain(gain.size(), 0.0), dshift(gain.size(), 0.0) {
    for (std::int64_t r = 0; r < rows; ++r) {
      T const *const xr = x.data() + r * cols, *const dyr = dy.data() + r * cols;
      double mean = 0, variance = 0, shared = 0, along = 0;
      for (std::int64_t c = 0; c < cols; ++c) mean += double(xr[c]) / double(cols);
      for (std::int64_t c = 0; c < cols; ++c)
        variance += (double(xr[c]) - mean) * (double(xr[c]) - mean) / double(cols);
      double const inverse = 1 / std::sqrt(variance + epsilon);
      statistics.push_back(mean), statistics.push_back(inverse);
      for (std::int64_t c = 0; c < cols; ++c) {
        double const n = (double(xr[c]) - mean) * inverse, g = double(dyr[c]) * double(gain[c]);
        y.push_back(n * double(gain[c]) + double(shift[c]));
        shared += g / double(cols), along += g * n / double(cols);
        dgain[c] += double(dyr[c]) * n, dshift[c] += double(dyr[c]);
      }
      for (std::int64_t c = 0; c < cols; ++c) {
        double const n = (double(xr[c]) - mean) * inverse;
        dx.push_back(inverse * (double(dyr[c]) * double(gain[c]) - shared - n * along));
      }
    }
  }
};

}  // namespace

TEST_CASE_TEMPLATE("layer norm and its gradients meet plain loops", T, float, double) {
  for (std::int64_t const cols : lengths)
    for (std::int64_t const rows : {1, 4, 13}) {
      CAPTURE(cols);
      CAPTURE(rows);
      // One column: x - mean is exactly 0. Few columns: the variance of the values is about 1.3.
      auto const x = values<T>(rows * cols, 1), dy = values<T>(rows * cols, 2);
      auto const gain = values<T>(cols, 3), shift = values<T>(cols, 4);
      auto const more = values<T>(rows * cols, 5);
      Reference const r(rows, cols, x, gain, shift, dy);
      Shape const shape = shape_of(rows, cols), pairs = shape_of(rows, 2);

      std::vector<T> y(x.size()), statistics(2 * std::size_t(rows));
      CHECK(same_on_threads([&] {
        CpuTeam{}.run(kernel::LayerNorm<T>{.y = view(y, shape),
                                           .statistics = view(statistics, pairs),
                                           .x = view(x, shape),
                                           .gain = view(gain),
                                           .shift = view(shift),
                                           .epsilon = T(epsilon)});
        return y;
      }));
      // A sum of 1000 as 128 short ones and a tree errs by a few units; y is at most some 10.
      CHECK(distance(y, r.y) <= tolerance<T>(2e-6));
      CHECK(distance(statistics, r.statistics) <= tolerance<T>(1e-6));

      auto const given = View<T const>{statistics.data(), pairs};
      std::vector<T> dx = dy;  // in place of dy
      kernel::LayerNormInput<T> input{.dx = view(dx, shape),
                                      .dy = view(dx, shape),
                                      .x = view(x, shape),
                                      .gain = view(gain),
                                      .statistics = given};
      CpuTeam{}.run(input);
      CHECK(distance(dx, r.dx) <= tolerance<T>(2e-5 / std::sqrt(double(cols)) + 2e-6));

      std::vector<double> sum = r.dx;
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += double(more[i]);
      dx = more;  // in place of what is added
      input.dy = view(dy, shape), input.add = view(dx, shape);
      CpuTeam{}.run(input);
      CHECK(distance(dx, sum) <= tolerance<T>(2e-5 / std::sqrt(double(cols)) + 2e-6));

      for (bool const accumulate : {false, true}) {
        std::vector<double> dgain = r.dgain, dshift = r.dshift;
        if (accumulate)
          for (std::int64_t c = 0; c < cols; ++c)
            dgain[c] += double(gain[c]), dshift[c] += double(shift[c]);
        std::vector<T> found, found_shift;
        CHECK(same_on_threads([&] {
          found = gain, found_shift = shift;
          CpuTeam{}.run(kernel::LayerNormParameters<T>{.dgain = view(found),
                                                       .dshift = view(found_shift),
                                                       .dy = view(dy, shape),
                                                       .x = view(x, shape),
                                                       .statistics = given,
                                                       .add_gain = accumulate,
                                                       .add_shift = accumulate});
          return found;
        }));
        CHECK(distance(found, dgain) <= tolerance<T>(3e-6));
        CHECK(distance(found_shift, dshift) <= tolerance<T>(3e-6));
      }
    }
}

TEST_CASE("a large mean does not spoil the variance: it is summed around the mean") {
  std::int64_t const cols = 768;
  auto x = values<float>(cols, 6);
  for (float& v : x) v += 1000;
  std::vector<float> const one(x.size(), 1.0f), zero(x.size(), 0.0f);
  Reference const r(1, cols, x, one, zero, x);
  std::vector<float> y(x.size()), statistics(2);
  CpuTeam{}.run(kernel::LayerNorm<float>{.y = view(y, shape_of(1, cols)),
                                         .statistics = view(statistics, shape_of(1, 2)),
                                         .x = view(x, shape_of(1, cols)),
                                         .gain = view(one),
                                         .shift = view(zero),
                                         .epsilon = float(epsilon)});
  CHECK(distance(y, r.y) <= 3e-4);  // the mean itself has 24 bits: 1000 / 2^24 = 6e-5
}
