#include <tessera/backend/cpu/attention.hpp>

#include "../../kernels/attention.hpp"
#include "../../kernels/check.hpp"

#include <initializer_list>
#include <limits>

using namespace tessera;
using namespace tessera::test;

namespace {

/// Forward and backward of operands stored as Low.
template <class Low>
struct Run {
  static constexpr DType type = dtype_of<Low>;
  static constexpr std::size_t edge = 64;  // elements before and behind each result

  Attending a;
  std::vector<Low> qkv, dy, y, dqkv;
  std::vector<float> log_sum;

  Run(Attending attending, std::vector<Low> qkv_, std::vector<Low> dy_)
      : a(std::move(attending)),
        qkv(std::move(qkv_)),
        dy(std::move(dy_)),
        y(dy.size() + 2 * edge, Low(7.f)),
        dqkv(qkv.size() + 2 * edge, Low(7.f)),
        log_sum(std::size_t(a.log_sums()) + 2 * edge, 7) {
    std::vector<std::byte> workspace(std::size_t(attention_workspace(a.shape, type)) + 1);
    AttentionOperands const x{qkv.data(), a.documents(), y.data() + edge, log_sum.data() + edge};
    attention_forward(a.shape, type, x, workspace.data());
    attention_backward(a.shape, type, x, dy.data(), dqkv.data() + edge, workspace.data());
  }
  explicit Run(Attending const& attending)
      : Run(attending, rounded(attending.inputs(), 1), rounded(attending.outputs(), 2)) {}

  static std::vector<Low> rounded(std::int64_t n, std::uint64_t seed) {
    std::vector<Low> v;
    for (float const x : values<float>(n, seed)) v.push_back(Low(x));
    return v;
  }
  template <class T>
  static std::vector<T> inner(std::vector<T> const& v) {
    return {v.begin() + edge, v.end() - edge};
  }
  template <class T>
  static bool edges_untouched(std::vector<T> const& v) {
    bool same = true;
    for (std::size_t i = 0; i < edge; ++i)
      same = same && float(v[i]) == 7 && float(v[v.size() - 1 - i]) == 7;
    return same;
  }
};

/// The same in double, by the kernel that tests/kernels/attention.cpp holds to the textbook.
struct Reference {
  std::vector<double> y, log_sum, dqkv;

  template <class Low>
  explicit Reference(Run<Low> const& r)
      : y(r.dy.size()), log_sum(std::size_t(r.a.log_sums())), dqkv(r.qkv.size()) {
    std::vector<double> qkv, dy;
    for (Low const x : r.qkv) qkv.push_back(double(float(x)));
    for (Low const x : r.dy) dy.push_back(double(float(x)));
    CpuTeam{}.run(kernel::Attention<double>{y.data(), log_sum.data(), qkv.data(), r.a.shape,
                                            r.a.documents()});
    CpuTeam{}.run(kernel::AttentionInput<double>{dqkv.data(), dy.data(), qkv.data(), y.data(),
                                                 log_sum.data(), r.a.shape, r.a.documents()});
  }
};

/// ||found - expected|| / ||expected||
template <class T>
double relative(std::vector<T> const& found, std::vector<double> const& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    double const d = double(float(found[i])) - expected[i];
    difference += d * d;
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

/// Results that are stored in 16 bits differ from exact ones by their rounding, 2^-9 at most with
/// bf16, 2^-12 with fp16; so does y, from which backward computes.
template <class Low>
constexpr double rounding = sizeof(Low) == 4               ? 2e-6
                            : dtype_of<Low> == DType::bf16 ? 0x1p-9
                                                           : 0x1p-12;

template <class Low>
void meets_reference(Attending const& a) {
  CAPTURE(a.text());
  Run<Low> const found(a);
  Reference const expected(found);
  double const close = 2e-6, stored = rounding<Low>;
  CHECK(relative(found.inner(found.y), expected.y) < stored);
  CHECK(relative(found.inner(found.log_sum), expected.log_sum) < close);
  CHECK(relative(found.inner(found.dqkv), expected.dqkv) < (stored > close ? 2 * stored : close));
  CHECK(found.edges_untouched(found.y));
  CHECK(found.edges_untouched(found.log_sum));
  CHECK(found.edges_untouched(found.dqkv));
}

Attending causal(std::int64_t batch, std::int64_t tokens, std::int64_t heads, std::int64_t width) {
  return {{batch, tokens, heads, heads, width}, false};
}

}  // namespace

TEST_CASE_TEMPLATE("every tail of tokens meets the reference in double", T, float, bf16, fp16) {
  for (int const tokens : {1, 2, 5, 6, 7, 31, 32, 33, 34, 58, 59, 60, 61, 62, 63, 64, 65, 66, 69})
    meets_reference<T>(causal(1, tokens, 2, 16));
  for (int const tokens : {127, 128, 129, 150, 193}) meets_reference<T>(causal(2, tokens, 2, 24));
}

TEST_CASE_TEMPLATE("every width meets the reference in double", T, float, bf16, fp16) {
  for (int width = 8; width <= 256; width += 8) meets_reference<T>(causal(1, 67, 1, width));
  for (int const width : {128, 136, 256})
    for (int const tokens : {32, 33, 35, 64, 97}) meets_reference<T>(causal(1, tokens, 2, width));
}

TEST_CASE_TEMPLATE("every kind meets the reference in double", T, float, bf16, fp16) {
  for (int const tokens : {37, 64, 65, 200})
    for (bool const causal : {true, false})
      for (std::int64_t const window : {0, 1, 5, 31, 64, 70, 130})
        for (bool const packed : {false, true})
          for (std::int64_t const kv_heads : {1, 2, 6}) {
            if (kv_heads != 2 && window % 5 != 0) continue;
            meets_reference<T>({{2, tokens, 6, kv_heads, 16, causal, window}, packed});
          }
  meets_reference<T>({{1, 150, 4, 2, 136, true, 40}, true});
  meets_reference<T>({{1, 150, 4, 2, 136, false, 40}, true});
}

TEST_CASE_TEMPLATE("so does a row of many tokens, whose keys are gathered", T, float, bf16, fp16) {
  static_assert(gathers_keys({1, 2100, 2, 2, 16}) && !gathers_keys({1, 2048, 2, 2, 16}));
  meets_reference<T>(causal(1, 2113, 2, 16));
  meets_reference<T>({{2, 2100, 4, 2, 24, true, 100}, true});
  CHECK(same_on_threads([&] { return Run<T>(causal(1, 2113, 2, 16)).dqkv; }));
}

TEST_CASE_TEMPLATE("widths without tiles go to the reference", T, float, bf16, fp16) {
  for (int const width : {1, 4, 12, 264}) meets_reference<T>(causal(2, 9, 2, width));
  meets_reference<T>({{2, 9, 4, 2, 12, false, 3}, true});
}

TEST_CASE_TEMPLATE("the same bits for any number of threads, and again", T, float, bf16, fp16) {
  for (Attending const& a : {causal(2, 100, 3, 40), causal(1, 130, 1, 136),
                             Attending({2, 100, 6, 2, 40, false, 30}, true)}) {
    CHECK(same_on_threads([&] { return Run<T>(a).y; }));
    CHECK(same_on_threads([&] { return Run<T>(a).dqkv; }));
  }
}

TEST_CASE("what a query does not see changes not one bit of its result") {
  for (Attending const& a :
       {causal(1, 150, 2, 32), Attending({1, 150, 2, 1, 32, true, 40}, false),
        Attending({1, 150, 2, 2, 32, false, 20}, false), Attending({1, 150, 2, 2, 32}, true),
        Attending({1, 150, 2, 2, 32, false}, true)}) {
    CAPTURE(a.text());
    Run<float> const before(a);
    std::size_t const row = std::size_t(a.shape.packed()), all = std::size_t(a.shape.all());
    for (std::int64_t const key : {1, 17, 63, 64, 100, 149}) {
      CAPTURE(key);
      auto qkv = before.qkv;
      for (std::size_t i = std::size_t(key) * row; i < std::size_t(key + 1) * row; ++i)
        qkv[i] = -3 * qkv[i] + 1;
      Run<float> const after(a, qkv, before.dy);
      for (std::int64_t t = 0; t < a.shape.tokens; ++t) {
        std::size_t const at = Run<float>::edge + std::size_t(t) * all;
        bool const same = std::memcmp(&before.y[at], &after.y[at], all * 4) == 0;
        CHECK(same == !a.sees(0, t, key));
      }
    }
  }
}

TEST_CASE("large scores are no harm, and what is not a number stays visible") {
  Attending const a = causal(1, 70, 1, 16);
  auto qkv = values<float>(a.inputs(), 3);
  for (float& x : qkv) x *= 100;
  Run<float> const large(a, qkv, values<float>(a.outputs(), 4));
  for (auto const* v : {&large.y, &large.log_sum, &large.dqkv})
    for (float const x : *v) REQUIRE(std::isfinite(x));

  qkv[5] = std::numeric_limits<float>::quiet_NaN();  // the first token's query
  Run<float> const broken(a, qkv, values<float>(a.outputs(), 4));
  CHECK(std::isnan(broken.y[Run<float>::edge]));
  CHECK(std::isnan(broken.dqkv[Run<float>::edge]));
}
