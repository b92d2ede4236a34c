// nvcc
#include <tessera/backend/cpu/attention.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "../../kernels/check.hpp"

#include <initializer_list>
#include <limits>

using namespace tessera;
using namespace tessera::test;

namespace {

struct Sizes {
  int batch, tokens, heads, width;
  std::int64_t outputs() const { return std::int64_t(batch) * tokens * heads * width; }
};

template <class T>
struct Run {
  Sizes s;
  std::vector<T> qkv, dy, y, log_sum, dqkv;

  Run(Sizes sizes, std::vector<T> qkv_, std::vector<T> dy_)
      : s(sizes),
        qkv(std::move(qkv_)),
        dy(std::move(dy_)),
        y(dy.size(), T(7)),
        log_sum(std::size_t(s.batch) * std::size_t(s.heads) * std::size_t(s.tokens), T(7)),
        dqkv(qkv.size(), T(7)) {
    Attention<T>::forward(s.batch, s.tokens, s.heads, s.width, qkv.data(), y.data(),
                          log_sum.data());
    Attention<T>::backward(s.batch, s.tokens, s.heads, s.width, dy.data(), qkv.data(), y.data(),
                           log_sum.data(), dqkv.data());
  }
  explicit Run(Sizes sizes)
      : Run(sizes, values<T>(3 * sizes.outputs(), 1), values<T>(sizes.outputs(), 2)) {}
};

/// ||found - expected|| / ||expected||
double relative(std::vector<float> const& found, std::vector<double> const& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    double const d = double(found[i]) - expected[i];
    difference += d * d;
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

Run<double> in_double(Run<float> const& r) {
  return {r.s, {r.qkv.begin(), r.qkv.end()}, {r.dy.begin(), r.dy.end()}};
}

void meets_reference(Sizes s) {
  CAPTURE(s.tokens);
  CAPTURE(s.heads);
  CAPTURE(s.width);
  Run<float> const found(s);
  Run<double> const expected = in_double(found);
  CHECK(relative(found.y, expected.y) < 2e-6);
  CHECK(relative(found.log_sum, expected.log_sum) < 2e-6);
  CHECK(relative(found.dqkv, expected.dqkv) < 2e-6);
}

}  // namespace

TEST_CASE("every tail of tokens meets the reference in double") {
  for (int const tokens : {1, 2, 5, 6, 7, 31, 32, 33, 34, 58, 59, 60, 61, 62, 63, 64, 65, 66, 69})
    meets_reference({1, tokens, 2, 16});
  for (int const tokens : {127, 128, 129, 150, 193}) meets_reference({2, tokens, 2, 24});
}

TEST_CASE("every width meets the reference in double") {
  for (int width = 8; width <= 256; width += 8) meets_reference({1, 67, 1, width});
  for (int const width : {128, 136, 256})
    for (int const tokens : {32, 33, 35, 64, 97}) meets_reference({1, tokens, 2, width});
}

TEST_CASE("widths without tiles go to the reference") {
  for (int const width : {1, 4, 12, 264}) meets_reference({2, 9, 2, width});
}

TEST_CASE("the same bits for any number of threads, and again") {
  Sizes const s{2, 100, 3, 40};
  CHECK(same_on_threads([&] { return Run<float>(s).y; }));
  CHECK(same_on_threads([&] { return Run<float>(s).dqkv; }));
  CHECK(same_on_threads([&] { return Run<float>({1, 130, 1, 136}).dqkv; }));
}

TEST_CASE("the future changes not one bit of the past") {
  Sizes const s{1, 150, 2, 32};
  Run<float> const before(s);
  for (int const token : {1, 17, 63, 64, 100, 149}) {
    CAPTURE(token);
    auto qkv = before.qkv;
    std::size_t const row = 2 * 32, first = std::size_t(token) * 3 * row;
    for (std::size_t i = first; i < qkv.size(); ++i) qkv[i] = -3 * qkv[i] + 1;
    Run<float> const after(s, qkv, before.dy);
    CHECK(std::memcmp(before.y.data(), after.y.data(), std::size_t(token) * row * 4) == 0);
    CHECK(std::memcmp(&before.y[std::size_t(token) * row], &after.y[std::size_t(token) * row],
                      row * 4) != 0);
  }
}

TEST_CASE("nothing is written outside the results") {
  Sizes const s{1, 37, 1, 24};
  std::size_t const n = std::size_t(s.outputs()), tokens = std::size_t(s.tokens);
  auto const qkv = values<float>(3 * s.outputs(), 1), dy = values<float>(s.outputs(), 2);
  std::vector<float> y(n + 64, 7), log_sum(tokens + 64, 7), dqkv(3 * n + 64, 7);
  Attention<float>::forward(1, s.tokens, 1, s.width, qkv.data(), y.data() + 32,
                            log_sum.data() + 32);
  Attention<float>::backward(1, s.tokens, 1, s.width, dy.data(), qkv.data(), y.data() + 32,
                             log_sum.data() + 32, dqkv.data() + 32);
  for (auto const* v : {&y, &log_sum, &dqkv})
    for (std::size_t i = 0; i < 32; ++i) {
      CHECK((*v)[i] == 7);
      CHECK((*v)[v->size() - 1 - i] == 7);
    }
}

TEST_CASE("large scores are no harm, and what is not a number stays visible") {
  Sizes const s{1, 70, 1, 16};
  auto qkv = values<float>(3 * s.outputs(), 3);
  for (float& x : qkv) x *= 100;
  Run<float> const large(s, qkv, values<float>(s.outputs(), 4));
  for (auto const* v : {&large.y, &large.log_sum, &large.dqkv})
    for (float const x : *v) REQUIRE(std::isfinite(x));

  qkv[5] = std::numeric_limits<float>::quiet_NaN();  // the first token's query
  Run<float> const broken(s, qkv, values<float>(s.outputs(), 4));
  CHECK(std::isnan(broken.y[0]));
  CHECK(std::isnan(broken.dqkv[0]));
}
