// nvcc
#include <tessera/kernels/attention.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Sizes {
  std::int64_t batch, tokens, heads, width;
  std::int64_t all() const { return heads * width; }
  std::int64_t rows() const { return batch * tokens; }
};

/// The textbook's: all scores of a row, their softmax, the weighted values.
template <class T>
std::vector<double> plain(Sizes s, std::vector<T> const& qkv) {
  std::vector<double> y(std::size_t(s.rows() * s.all()));
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t h = 0; h < s.heads; ++h)
      for (std::int64_t t = 0; t < s.tokens; ++t) {
        auto const at = [&](int part, std::int64_t token, std::int64_t c) {
          return double(
              qkv[std::size_t(((b * s.tokens + token) * 3 + part) * s.all() + h * s.width + c)]);
        };
        std::vector<double> p(std::size_t(t) + 1);
        double total = 0;
        for (std::int64_t k = 0; k <= t; ++k) {
          double score = 0;
          for (std::int64_t c = 0; c < s.width; ++c) score += at(0, t, c) * at(1, k, c);
          total += p[std::size_t(k)] = std::exp(score / std::sqrt(double(s.width)));
        }
        for (std::int64_t k = 0; k <= t; ++k)
          for (std::int64_t c = 0; c < s.width; ++c)
            y[std::size_t((b * s.tokens + t) * s.all() + h * s.width + c)] +=
                p[std::size_t(k)] / total * at(2, k, c);
      }
  return y;
}

template <class T>
struct Result {
  std::vector<T> y, log_sum, dqkv;

  Result(Sizes s, std::vector<T> const& qkv, std::vector<T> const& dy)
      : y(dy.size()), log_sum(std::size_t(s.rows() * s.heads)), dqkv(qkv.size(), T(7)) {
    CpuTeam{}.run(kernel::Attention<T>{y.data(), log_sum.data(), qkv.data(), s.batch, s.tokens,
                                       s.heads, s.width});
    CpuTeam{}.run(kernel::AttentionInput<T>{dqkv.data(), dy.data(), qkv.data(), y.data(),
                                            log_sum.data(), s.batch, s.tokens, s.heads, s.width});
  }
};

}  // namespace

TEST_CASE_TEMPLATE("attention meets the textbook's loops", T, float, double) {
  for (Sizes const s : {Sizes{1, 1, 1, 4}, Sizes{2, 7, 3, 5}, Sizes{1, 33, 2, 16}}) {
    CAPTURE(s.tokens);
    auto const qkv = values<T>(s.rows() * 3 * s.all(), 1), dy = values<T>(s.rows() * s.all(), 2);
    CHECK(distance(Result<T>(s, qkv, dy).y, plain(s, qkv)) < tolerance<T>(2e-6));
    CHECK(same_on_threads([&] { return Result<T>(s, qkv, dy).dqkv; }));
  }
}

TEST_CASE("its gradient meets finite differences") {
  Sizes const s{2, 6, 2, 3};
  auto qkv = values<double>(s.rows() * 3 * s.all(), 3);
  auto const dy = values<double>(s.rows() * s.all(), 4);
  auto const loss = [&] {
    auto const y = plain(s, qkv);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
    return sum;
  };
  std::vector<double> expected(qkv.size());
  for (std::size_t i = 0; i < qkv.size(); ++i) {
    double const x = qkv[i], h = 1e-5;
    qkv[i] = x + h;
    expected[i] = loss();
    qkv[i] = x - h;
    expected[i] = (expected[i] - loss()) / (2 * h);
    qkv[i] = x;
  }
  CHECK(distance(Result<double>(s, qkv, dy).dqkv, expected) < 1e-8);
}

TEST_CASE("scores far beyond what exp can hold are no harm") {
  Sizes const s{1, 9, 1, 8};
  auto qkv = values<double>(s.rows() * 3 * s.all(), 5);
  for (double& x : qkv) x *= 1000;
  Result<double> const r(s, qkv, values<double>(s.rows() * s.all(), 6));
  for (double const x : r.y) CHECK(std::isfinite(x));
  for (double const x : r.dqkv) CHECK(std::isfinite(x));
}
