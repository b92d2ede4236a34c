#include <tessera/kernels/cross_entropy.hpp>

#include "check.hpp"

#include <cstring>

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double scale = 0.125;

template <class T>
struct Reference {
  std::vector<double> loss, gradient;

  Reference(std::vector<T> const& logits, std::vector<std::int32_t> const& targets) {
    std::int64_t const vocabulary = std::int64_t(logits.size() / targets.size());
    for (std::size_t r = 0; r < targets.size(); ++r) {
      T const* const row = logits.data() + std::int64_t(r) * vocabulary;
      bool const counts = targets[r] >= 0;
      double const highest = double(*std::max_element(row, row + vocabulary));
      double sum = 0;
      for (std::int64_t c = 0; c < vocabulary; ++c) sum += std::exp(double(row[c]) - highest);
      loss.push_back(counts ? std::log(sum) + highest - double(row[targets[r]]) : 0);
      for (std::int64_t c = 0; c < vocabulary; ++c)
        gradient.push_back(
            counts ? scale * (std::exp(double(row[c]) - highest) / sum - (c == targets[r])) : 0);
    }
  }
};

template <class T>
void run(std::vector<T>& logits, std::vector<T>& loss, std::vector<std::int32_t> const& targets,
         bool gradient, std::vector<T> const& factors = {}) {
  T const by = T(scale);
  View<T> const all = view(logits, shape_of(targets.size(), logits.size() / targets.size()));
  CpuTeam{}.run(kernel::CrossEntropy<T>{.logits = all,
                                        .row_loss = view(loss),
                                        .targets = view(targets),
                                        .scale = &by,
                                        .factor = factors.empty() ? nullptr : factors.data(),
                                        .gradient = gradient ? all : View<T>{}});
}

}  // namespace

TEST_CASE_TEMPLATE("loss and gradient meet a plain loop; ignored targets give zeros", T, float,
                   double) {
  for (std::int64_t const vocabulary : lengths)
    for (double const spread : {1.0, 10.0}) {
      CAPTURE(vocabulary);
      CAPTURE(spread);
      std::vector<std::int32_t> const targets{0, -1, std::int32_t(vocabulary - 1),
                                              std::int32_t(vocabulary / 2), -1};
      auto const logits = [&] {
        auto v = values<T>(std::int64_t(targets.size()) * vocabulary, 1);
        for (T& x : v) x *= T(spread);
        return v;
      }();
      Reference<T> const expected(logits, targets);
      std::vector<T> found, loss(targets.size(), T(7)), same(targets.size(), T(7));
      CHECK(same_on_threads([&] {
        found = logits;
        run(found, loss, targets, true);
        return found;
      }));
      CHECK(distance(loss, expected.loss) <= tolerance<T>(1e-6));
      CHECK(distance(found, expected.gradient) <= tolerance<T>(1e-7 * scale * 4));

      // A factor scales the gradient exactly if it is a power of two, and no loss.
      std::vector<T> doubled = logits, halves = found;
      run(doubled, same, targets, true, {T(2)});
      for (T& x : halves) x *= 2;
      CHECK(doubled == halves);
      CHECK(same == loss);

      found = logits;
      run(found, same, targets, false);
      CHECK(distance(same, expected.loss) <= tolerance<T>(1e-6));
      CHECK(found == logits);
    }
}

TEST_CASE_TEMPLATE("a gradient of 16 bits in the logits' place has the bits of one elsewhere", S,
                   bf16, fp16) {
  float const by = float(scale);
  for (std::int64_t const vocabulary : {1, 7, 1023, 1024, 1025, 2500, 5000}) {
    CAPTURE(vocabulary);
    std::vector<std::int32_t> const targets{0, -1, std::int32_t(vocabulary - 1)};
    Shape const shape = shape_of(targets.size(), vocabulary);
    std::vector<float> in_place = values<float>(shape.count(), 1), logits = in_place, loss(3);
    std::vector<S> apart(std::size_t(shape.count()), S(7.f));
    S* const slopes = reinterpret_cast<S*>(in_place.data());
    auto const kernel = [&](std::vector<float>& of, View<S> gradient, std::int64_t stride) {
      return kernel::CrossEntropy<float, S>{.logits = view(of, shape),
                                            .row_loss = view(loss),
                                            .targets = view(targets),
                                            .scale = &by,
                                            .gradient = gradient,
                                            .stride = stride};
    };
    CpuTeam{}.run(kernel(logits, view(apart, shape), 0));
    CpuTeam{}.run(kernel(in_place, {slopes, shape}, 2 * vocabulary));
    for (std::size_t r = 0; r < targets.size(); ++r)
      CHECK(std::memcmp(slopes + std::int64_t(r) * 2 * vocabulary,
                        apart.data() + std::int64_t(r) * vocabulary,
                        std::size_t(vocabulary) * sizeof(S)) == 0);
  }
}

TEST_CASE("logits far apart neither overflow nor underflow, and a NaN shows in the loss") {
  std::vector<float> logits{1000, -1000, 999, 0}, loss(1);
  std::vector<std::int32_t> const targets{2};
  Reference<float> const expected(logits, targets);
  run(logits, loss, targets, true);
  CHECK(distance(loss, expected.loss) <= 1e-4);  // 1000 + log(sum) has 24 bits
  CHECK(distance(logits, expected.gradient) <= 1e-7);
  CHECK(logits[1] == 0);

  logits = {1, 2, NAN, 3};
  run(logits, loss, targets, true);
  CHECK(std::isnan(loss[0]));
  logits = {1, 2, -1, NAN};
  run(logits, loss, targets, false);
  CHECK(std::isnan(loss[0]));
}

TEST_CASE_TEMPLATE("the total is the scaled sum of all rows' losses, by a lane's tree", T, float,
                   double) {
  for (std::int64_t const rows : lengths) {
    CAPTURE(rows);
    auto const losses = values<T>(rows, 3);
    double sum = 0;
    for (T const x : losses) sum += double(x);
    T const by = T(scale);
    T total = 7;
    CpuTeam{}.run(kernel::TotalLoss<T>{&total, view(losses), &by});
    CHECK(double(total) == doctest::Approx(sum * scale).epsilon(tolerance<T>(1e-6)));
  }
}
