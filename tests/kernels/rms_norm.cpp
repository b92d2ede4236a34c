#include <tessera/kernels/rms_norm.hpp>

#include "check.hpp"

#include <utility>

using namespace tessera;
using namespace tessera::test;

namespace {

/// Everything in double, for one shape.
struct Reference {
  std::vector<double> y, inverse, dx, dgain;

  template <class T>
  Reference(std::int64_t rows, std::int64_t cols, double epsilon, std::vector<T> const& x,
            std::vector<T> const& gain, std::vector<T> const& dy)
      : dgain(gain.size(), 0.0) {
    for (std::int64_t r = 0; r < rows; ++r) {
      T const *const xr = x.data() + r * cols, *const dyr = dy.data() + r * cols;
      double squares = 0, along = 0;
      for (std::int64_t c = 0; c < cols; ++c) squares += double(xr[c]) * double(xr[c]);
      double const scale = 1 / std::sqrt(squares / double(cols) + epsilon);
      inverse.push_back(scale);
      for (std::int64_t c = 0; c < cols; ++c) {
        double const n = double(xr[c]) * scale;
        y.push_back(n * double(gain[c]));
        along += double(dyr[c]) * double(gain[c]) * n / double(cols);
        dgain[c] += double(dyr[c]) * n;
      }
      for (std::int64_t c = 0; c < cols; ++c)
        dx.push_back(scale * (double(dyr[c]) * double(gain[c]) - double(xr[c]) * scale * along));
    }
  }
};

std::vector<float> widened(std::vector<bf16> const& v) {
  return {v.begin(), v.end()};
}
std::vector<bf16> narrowed(std::vector<float> const& v) {
  std::vector<bf16> out(v.size());
  for (std::size_t i = 0; i < v.size(); ++i) out[i] = bf16(v[i]);
  return out;
}

}  // namespace

// epsilon 0.5 counts beside a mean square of 1.3: where it is left out, or added outside of the
// root, every number is another.
TEST_CASE_TEMPLATE("rms norm and its gradients meet plain loops", T, float, double) {
  for (double const epsilon : {1e-5, 0.5})
    for (std::int64_t const cols : lengths)
      for (std::int64_t const rows : {1, 4, 13}) {
        CAPTURE(cols);
        CAPTURE(rows);
        auto const x = values<T>(rows * cols, 1), dy = values<T>(rows * cols, 2);
        auto const gain = values<T>(cols, 3);
        Reference const r(rows, cols, epsilon, x, gain, dy);
        Shape const shape = shape_of(rows, cols);

        std::vector<T> y(x.size()), inverse(std::size_t(rows), T(0));
        CHECK(same_on_threads([&] {
          CpuTeam{}.run(kernel::RmsNorm<T>{.y = view(y, shape),
                                           .inverse = view(inverse),
                                           .x = view(x, shape),
                                           .gain = view(gain),
                                           .epsilon = T(epsilon)});
          return y;
        }));
        // A sum of squares, all positive, as 128 short ones (8 roundings) and a tree (7), division,
        // sum, root, division and two products: some 20 roundings of 2^-24 at most.
        CHECK(distance(y, r.y) <= tolerance<T>(2e-6));
        CHECK(distance(inverse, r.inverse) <= tolerance<T>(2e-6));

        // Where x is one small number, 1 - n^2 cancels and 1 / rms scales what is left: of one
        // column, the exact result is epsilon / rms^3 times g.
        double const largest = *std::max_element(r.inverse.begin(), r.inverse.end());
        std::vector<T> dx = dy;  // in place of dy
        kernel::RmsNormInput<T> input{.dx = view(dx, shape),
                                      .dy = view(dx, shape),
                                      .x = view(x, shape),
                                      .gain = view(gain),
                                      .inverse = view(std::as_const(inverse))};
        CpuTeam{}.run(input);
        CHECK(distance(dx, r.dx) <= tolerance<T>(1e-5 * std::max(1.0, largest)));
        dx = x;  // in place of x
        input.dy = view(dy, shape), input.x = view(dx, shape);
        CpuTeam{}.run(input);
        CHECK(distance(dx, r.dx) <= tolerance<T>(1e-5 * std::max(1.0, largest)));

        for (bool const accumulate : {false, true}) {
          std::vector<double> dgain = r.dgain;
          if (accumulate)
            for (std::int64_t c = 0; c < cols; ++c) dgain[c] += double(gain[c]);
          std::vector<T> found;
          CHECK(same_on_threads([&] {
            found = gain;
            CpuTeam{}.run(kernel::RmsNormGain<T>{.dgain = view(found),
                                                 .dy = view(dy, shape),
                                                 .x = view(x, shape),
                                                 .inverse = view(std::as_const(inverse)),
                                                 .accumulate = accumulate});
            return found;
          }));
          CHECK(distance(found, dgain) <= tolerance<T>(4e-6));
        }
      }
}

TEST_CASE("with 16-bit storage the arithmetic is float's: only what is stored is rounded") {
  std::int64_t const rows = 5, cols = 129;
  Shape const shape = shape_of(rows, cols);
  auto const x = values<float>(rows * cols, 1);
  auto const gain = narrowed(values<float>(cols, 3)), dy = narrowed(values<float>(rows * cols, 2));
  Reference const r(rows, cols, 1e-5, x, widened(gain), widened(dy));
  std::vector<bf16> y(x.size());
  std::vector<float> inverse(std::size_t(rows), 0.0f), dx(x.size()), dgain(gain.size());
  CpuTeam{}.run(kernel::RmsNorm<float, bf16>{.y = view(y, shape),
                                             .inverse = view(inverse),
                                             .x = view(x, shape),
                                             .gain = view(gain),
                                             .epsilon = 1e-5f});
  auto const given = view(std::as_const(inverse));
  CpuTeam{}.run(kernel::RmsNormInput<float, bf16>{.dx = view(dx, shape),
                                                  .dy = view(dy, shape),
                                                  .x = view(x, shape),
                                                  .gain = view(gain),
                                                  .inverse = given});
  CpuTeam{}.run(kernel::RmsNormGain<float, bf16>{.dgain = view(dgain),
                                                 .dy = view(dy, shape),
                                                 .x = view(x, shape),
                                                 .inverse = given,
                                                 .accumulate = false});
  // y is rounded once: half of the distance of two neighbours, which is 2^-7 of y at most.
  CHECK(distance(widened(y), r.y) <= 0x1p-8 + 2e-6);
  CHECK(distance(inverse, r.inverse) <= 2e-6);
  CHECK(distance(dx, r.dx) <= 1e-5);
  CHECK(distance(dgain, r.dgain) <= 4e-6);
}
