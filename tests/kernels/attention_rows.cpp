#include <tessera/kernels/attention_rows.hpp>

#include "attention.hpp"
#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

std::vector<Attending> const kinds = [] {
  std::vector<Attending> all;
  for (AttentionShape const s : {AttentionShape{1, 1, 1, 1, 4}, AttentionShape{2, 7, 3, 3, 5},
                                 AttentionShape{1, 33, 4, 2, 16}, AttentionShape{1, 300, 2, 1, 8},
                                 AttentionShape{1, 129, 1, 1, 256}})
    for (bool const causal : {true, false})
      for (std::int64_t const window : {0, 1, 4})
        for (bool const packed : {false, true}) {
          AttentionShape shape = s;
          shape.causal = causal, shape.window = window;
          all.emplace_back(shape, packed);
        }
  return all;
}();

template <class T>
struct Result {
  std::vector<T> y, dqkv;
  std::vector<Wide<T>> log_sum, own;

  Result(Attending const& a, std::vector<T> const& qkv, std::vector<T> const& dy)
      : y(dy.size()),
        dqkv(qkv.size(), T(7.f)),
        log_sum(std::size_t(a.log_sums())),
        own(log_sum.size()) {
    AttentionShape const& s = a.shape;
    auto const* const documents = a.documents();
    CpuTeam{}.run(kernel::AttentionByQuery<T>{y.data(), log_sum.data(), qkv.data(), s, documents});
    CpuTeam{}.run(kernel::AttentionQueryGradient<T>{dqkv.data(), own.data(), dy.data(), qkv.data(),
                                                    y.data(), log_sum.data(), s, documents});
    CpuTeam{}.run(kernel::AttentionKeyGradient<T>{dqkv.data(), own.data(), dy.data(), qkv.data(),
                                                  log_sum.data(), s, documents});
  }
};

}  // namespace

TEST_CASE_TEMPLATE("attention of every kind is that of the reference", T, float, double) {
  for (Attending const& a : kinds) {
    CAPTURE(a.text());
    auto const qkv = values<T>(a.inputs(), 1), dy = values<T>(a.outputs(), 2);
    std::vector<T> y(dy.size()), log_sum(std::size_t(a.log_sums())), dqkv(qkv.size());
    CpuTeam{}.run(
        kernel::Attention<T>{y.data(), log_sum.data(), qkv.data(), a.shape, a.documents()});
    CpuTeam{}.run(kernel::AttentionInput<T>{dqkv.data(), dy.data(), qkv.data(), y.data(),
                                            log_sum.data(), a.shape, a.documents()});
    Result<T> const r(a, qkv, dy);
    CHECK(distance(r.y, {y.begin(), y.end()}) < tolerance<T>(2e-6));
    CHECK(distance(r.log_sum, {log_sum.begin(), log_sum.end()}) < tolerance<T>(2e-6));
    CHECK(distance(r.dqkv, {dqkv.begin(), dqkv.end()}) < tolerance<T>(4e-6));
  }
}

TEST_CASE_TEMPLATE("16-bit operands are rounded once, where they are stored", T, bf16, fp16) {
  for (Attending const& a : kinds) {
    CAPTURE(a.text());
    auto const q = values<float>(a.inputs(), 1), up = values<float>(a.outputs(), 2);
    std::vector<T> const qkv(q.begin(), q.end()), dy(up.begin(), up.end());
    Result<float> const exact(a, {qkv.begin(), qkv.end()}, {dy.begin(), dy.end()});
    Result<T> const r(a, qkv, dy);
    CHECK(r.y == std::vector<T>(exact.y.begin(), exact.y.end()));
    CHECK(r.log_sum == exact.log_sum);
  }
}
