// cuda
// timeout: 120
/// Attention on a block's threads and on a warp's: the bits of a core, whatever a query sees.
#include <tessera/kernels/attention_rows.hpp>

#include "../../kernels/attention.hpp"
#include "both.hpp"

using namespace tessera;
using namespace tessera::kernel;
using tessera::test::Attending;
using tessera::test::Operands;
using tessera::test::same_everywhere;

namespace {

template <class F>
void of_every_kind(std::initializer_list<AttentionShape> shapes, F const& f) {
  for (AttentionShape s : shapes)
    for (bool const causal : {true, false})
      for (std::int64_t const window : {0, 4})
        for (bool const packed : {false, true}) {
          s.causal = causal, s.window = window;
          Attending const a(s, packed);
          CAPTURE(a.text());
          f(a);
        }
}

std::int32_t const* documents(Operands& o, Attending const& a) {
  return a.table.empty() ? nullptr : o.put(a.table);
}

}  // namespace

TEST_CASE("where documents begin and end") {
  Attending const a({.batch = 3, .tokens = 127, .heads = 1, .kv_heads = 1, .width = 1}, true);
  same_everywhere([&](Operands& o) {
    return Documents{o.some<std::int32_t>(2 * 3 * 127), o.put(a.tokens), 3, 127, 0};
  });
}

TEST_CASE_TEMPLATE("the reference", T, float, double) {
  of_every_kind({{1, 1, 1, 1, 4}, {2, 7, 3, 3, 5}, {1, 13, 4, 2, 129}}, [](Attending const& a) {
    same_everywhere([&](Operands& o) {
      return Attention<T>{o.some<T>(a.outputs()), o.some<T>(a.log_sums()), o.some<T>(a.inputs()),
                          a.shape, documents(o, a)};
    });
    same_everywhere([&](Operands& o) {
      return AttentionInput<T>{o.some<T>(a.inputs()),   o.some<T>(a.outputs()),
                               o.some<T>(a.inputs()),   o.some<T>(a.outputs()),
                               o.some<T>(a.log_sums()), a.shape,
                               documents(o, a)};
    });
  });
}

TEST_CASE_TEMPLATE("a row per query and per key", T, float, double, bf16, fp16) {
  using W = Wide<T>;
  of_every_kind(
      {{1, 1, 1, 1, 4}, {2, 7, 3, 3, 5}, {1, 33, 4, 2, 16}, {1, 150, 2, 1, 8}, {1, 9, 1, 1, 256}},
      [](Attending const& a) {
        same_everywhere([&](Operands& o) {
          return AttentionByQuery<T>{o.some<T>(a.outputs()), o.some<W>(a.log_sums()),
                                     o.some<T>(a.inputs()), a.shape, documents(o, a)};
        });
        same_everywhere([&](Operands& o) {
          return AttentionQueryGradient<T>{o.some<T>(a.inputs()),
                                           o.some<W>(a.log_sums()),
                                           o.some<T>(a.outputs()),
                                           o.some<T>(a.inputs()),
                                           o.some<T>(a.outputs()),
                                           o.some<W>(a.log_sums()),
                                           a.shape,
                                           documents(o, a)};
        });
        same_everywhere([&](Operands& o) {
          return AttentionKeyGradient<T>{o.some<T>(a.inputs()),   o.some<W>(a.log_sums()),
                                         o.some<T>(a.outputs()),  o.some<T>(a.inputs()),
                                         o.some<W>(a.log_sums()), a.shape,
                                         documents(o, a)};
        });
      });
}
