/// What the tests of kernels share: tail lengths, distances, thread counts.
#pragma once

#include <tessera/backend/cpu/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/weights.hpp>

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "values.hpp"

namespace tessera::test {

/// One element, less than a vector, vectors and a tail, one round of a lane and one more, many.
inline constexpr std::int64_t lengths[] = {1, 7, 31, 128, 129, 768, 1000};

template <class T>
View<T> view(std::vector<T>& v, Shape shape) {
  return {v.data(), shape};
}
template <class T>
View<T const> view(std::vector<T> const& v, Shape shape) {
  return {v.data(), shape};
}
template <class T>
View<T> view(std::vector<T>& v) {
  return {v.data(), shape_of(v.size())};
}
template <class T>
View<T const> view(std::vector<T> const& v) {
  return {v.data(), shape_of(v.size())};
}

/// The largest |found - expected| / max(1, |expected|); infinite if something is not a number.
template <class T>
double distance(std::vector<T> const& found, std::vector<double> const& expected) {
  REQUIRE(found.size() == expected.size());
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    double const d = std::abs(double(found[i]) - expected[i]);
    most = std::isnan(d) ? INFINITY : std::max(most, d / std::max(1.0, std::abs(expected[i])));
  }
  return most;
}

/// In double, kernel and plain loop differ by the order of their sums only.
template <class T>
double tolerance(double in_float) {
  return std::is_same_v<T, double> ? 1e-12 : in_float;
}

/// f() -> std::vector<T>, run with one thread and with two: the same bits.
template <class F>
bool same_on_threads(F f) {
  int const before = omp_get_max_threads();
  omp_set_num_threads(1);
  auto const one = f();
  omp_set_num_threads(2);
  auto const two = f();
  omp_set_num_threads(before);
  return one.size() == two.size() &&
         std::memcmp(one.data(), two.data(), one.size() * sizeof(one[0])) == 0;
}

/// Float weights as bf16 and remainders.
struct Halves {
  std::vector<bf16> high;
  std::vector<std::int16_t> low;

  explicit Halves(std::vector<float> const& w) : high(w.size()), low(w.size()) {
    for (std::size_t i = 0; i < w.size(); ++i) weights().set(std::int64_t(i), w[i]);
  }
  kernel::Split weights() { return {high.data(), low.data()}; }
  std::vector<float> joined() {
    std::vector<float> w(high.size());
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = weights().get(std::int64_t(i));
    return w;
  }
};

/// Float weights with fp16 ones beside them.
struct Copies {
  std::vector<fp16> low;
  std::vector<float> exact;

  explicit Copies(std::vector<float> const& w) : low(w.size()), exact(w.size()) {
    for (std::size_t i = 0; i < w.size(); ++i) weights().set(std::int64_t(i), w[i]);
  }
  kernel::Master weights() { return {low.data(), exact.data()}; }
  /// Of weights whose fp16 is the nearest.
  std::vector<float> joined() {
    std::vector<float> w = exact;
    for (std::size_t i = 0; i < w.size(); ++i)
      if (low[i].bits != fp16(w[i]).bits) w[i] = NAN;
    return w;
  }
};

/// run(w, g) -> weights: the same bits on one and two threads, and of parts alone; parts of a flat
/// begin at multiples of 256.
template <class F>
bool same_from_anywhere(std::vector<float> const& w, std::vector<float> const& g, F run) {
  std::vector<float> const whole = run(w, g);
  bool same = same_on_threads([&] { return run(w, g); });
  for (std::ptrdiff_t const first : {256, 4096, 4096 + 256}) {
    auto const part = [&](auto const& v) {
      return std::vector<float>(v.begin() + first, v.begin() + first + 4096);
    };
    std::vector<float> const found = run(part(w), part(g));
    same = same && std::equal(found.begin(), found.end(), whole.begin() + first);
  }
  return same;
}

}  // namespace tessera::test
