#include <tessera/kernels/attention.hpp>

#include "attention.hpp"
#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class T>
struct Result {
  std::vector<T> y, log_sum, dqkv;

  Result(Attending const& a, std::vector<T> const& qkv, std::vector<T> const& dy)
      : y(dy.size()), log_sum(std::size_t(a.log_sums())), dqkv(qkv.size(), T(7)) {
    CpuTeam{}.run(
        kernel::Attention<T>{y.data(), log_sum.data(), qkv.data(), a.shape, a.documents()});
    CpuTeam{}.run(kernel::AttentionInput<T>{dqkv.data(), dy.data(), qkv.data(), y.data(),
                                            log_sum.data(), a.shape, a.documents()});
  }
};

std::vector<Attending> const kinds = [] {
  std::vector<Attending> all;
  for (AttentionShape const s : {AttentionShape{1, 1, 1, 1, 4}, AttentionShape{2, 7, 3, 3, 5},
                                 AttentionShape{1, 33, 4, 2, 16}, AttentionShape{2, 9, 4, 1, 3}})
    for (bool const causal : {true, false})
      for (std::int64_t const window : {0, 1, 4})
        for (bool const packed : {false, true}) {
          AttentionShape shape = s;
          shape.causal = causal, shape.window = window;
          all.emplace_back(shape, packed);
        }
  return all;
}();

}  // namespace

TEST_CASE("a document begins behind the separator that ends the one before it") {
  std::vector<std::int32_t> const tokens{1, 0, 2, 3, 0, 0, 4, /**/ 0, 1, 2, 3, 4, 5, 0};
  std::vector<std::int32_t> documents(28);
  CpuTeam{}.run(kernel::Documents{documents.data(), tokens.data(), 2, 7, 0});
  CHECK(documents == std::vector<std::int32_t>{0, 0, 2, 2, 2, 5, 6, 2, 2, 5, 5, 5, 6, 7,  //
                                               0, 1, 1, 1, 1, 1, 1, 1, 7, 7, 7, 7, 7, 7});
}

TEST_CASE("pairs are those that a query sees") {
  for (std::int64_t const tokens : {1, 2, 9})
    for (std::int64_t const window : {0, 1, 3, 9})
      for (bool const causal : {true, false}) {
        Attending const a({1, tokens, 1, 1, 1, causal, window}, false);
        std::int64_t seen = 0;
        for (std::int64_t t = 0; t < tokens; ++t)
          for (std::int64_t s = 0; s < tokens; ++s) seen += a.sees(0, t, s);
        CHECK(a.shape.pairs() == double(seen));
      }
}

TEST_CASE_TEMPLATE("attention of every kind meets the textbook's loops", T, float, double) {
  for (Attending const& a : kinds) {
    CAPTURE(a.text());
    auto const qkv = values<T>(a.inputs(), 1), dy = values<T>(a.outputs(), 2);
    CHECK(distance(Result<T>(a, qkv, dy).y, a.plain(qkv)) < tolerance<T>(2e-6));
    CHECK(same_on_threads([&] { return Result<T>(a, qkv, dy).dqkv; }));
  }
}

TEST_CASE("its gradient meets finite differences") {
  for (Attending const& a : kinds) {
    if (a.shape.tokens > 9) continue;
    CAPTURE(a.text());
    auto qkv = values<double>(a.inputs(), 3);
    auto const dy = values<double>(a.outputs(), 4);
    auto const loss = [&] {
      auto const y = a.plain(qkv);
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
    CHECK(distance(Result<double>(a, qkv, dy).dqkv, expected) < 1e-8);
  }
}

TEST_CASE("scores far beyond what exp can hold are no harm") {
  Attending const a({1, 9, 1, 1, 8}, false);
  auto qkv = values<double>(a.inputs(), 5);
  for (double& x : qkv) x *= 1000;
  Result<double> const r(a, qkv, values<double>(a.outputs(), 6));
  for (double const x : r.y) CHECK(std::isfinite(x));
  for (double const x : r.dqkv) CHECK(std::isfinite(x));
}
