// cuda
// timeout: 120
/// Every kernel that an op runs, on a block's threads and on a warp's: the bits of a core.

#include <tessera/kernels/activation.hpp>
#include <tessera/kernels/bias.hpp>
#include <tessera/kernels/cross_entropy.hpp>
#include <tessera/kernels/dropout.hpp>
#include <tessera/kernels/elementwise.hpp>
#include <tessera/kernels/embedding.hpp>
#include <tessera/kernels/exact_sum.hpp>
#include <tessera/kernels/glu.hpp>
#include <tessera/kernels/layer_norm.hpp>
#include <tessera/kernels/reduce.hpp>
#include <tessera/kernels/rms_norm.hpp>
#include <tessera/kernels/rope.hpp>
#include <tessera/kernels/sum_parts.hpp>

#include "both.hpp"

#include <algorithm>
#include <numeric>

using namespace tessera;
using namespace tessera::kernel;
using tessera::test::Operands;
using tessera::test::same_everywhere;

namespace {

constexpr std::int64_t counts[]{1, 127, 129, 4097, 5000};

struct Size {
  std::int64_t rows, cols;
};
constexpr Size sizes[]{{1, 1}, {3, 127}, {13, 129}, {2, 1000}, {3, 5000}};

}  // namespace

#define EACH_TYPE float, double, bf16, fp16

TEST_CASE_TEMPLATE("element by element", T, EACH_TYPE) {
  for (std::int64_t const n : counts) {
    CAPTURE(n);
    Shape const s = shape_of(n);
    same_everywhere([&](Operands& o) {
      return Add<T>{.y = o.some<T>(s), .a = o.some<T>(s), .b = o.some<T>(s)};
    });
    same_everywhere([&](Operands& o) {
      View<T> const y = o.some<T>(s);
      return Add<T>{.y = y, .a = y, .b = o.some<T>(s)};
    });
    same_everywhere([&](Operands& o) { return Clear<T>{.y = o.some<T>(s)}; });
    same_everywhere(
        [&](Operands& o) { return Accumulate<T>{.y = o.some<T>(s), .x = o.some<T>(s)}; });
    same_everywhere([&](Operands& o) {
      return Multiply<T>{.y = o.some<T>(s), .a = o.some<T>(s), .b = o.some<T>(s)};
    });
    same_everywhere([&](Operands& o) {
      return Scale<T>{.y = o.some<T>(s), .x = o.some<T>(s), .factor = o.some<Wide<T>>(1)};
    });
    same_everywhere([&](Operands& o) {
      return Gelu<T>{.y = o.some<T>(s), .slope = o.some<T>(s), .x = o.some<T>(s)};
    });
    same_everywhere(
        [&](Operands& o) { return Gelu<T>{.y = o.some<T>(s), .slope = {}, .x = o.some<T>(s)}; });
    same_everywhere([&](Operands& o) {
      View<T> const x = o.some<T>(s);
      return Silu<T>{.y = x, .slope = o.some<T>(s), .x = x};
    });
  }
}

TEST_CASE_TEMPLATE("between types", T, bf16, fp16) {
  for (std::int64_t const n : counts) {
    CAPTURE(n);
    Shape const s = shape_of(n);
    same_everywhere([&](Operands& o) {
      return Add<float, T>{.y = o.some<float>(s), .a = o.some<float>(s), .b = o.some<T>(s)};
    });
    same_everywhere(
        [&](Operands& o) { return Convert<float, T>{.y = o.some<float>(s), .x = o.some<T>(s)}; });
    same_everywhere(
        [&](Operands& o) { return Convert<T, float>{.y = o.some<T>(s), .x = o.some<float>(s)}; });
  }
}

TEST_CASE_TEMPLATE("biases and gated units", T, EACH_TYPE) {
  for (Size const& size : sizes) {
    std::int64_t const rows = size.rows, cols = size.cols;
    CAPTURE(cols);
    Shape const s = shape_of(rows, cols), twice = shape_of(rows, 2 * cols), c = shape_of(cols);
    same_everywhere([&](Operands& o) {
      return BiasAdd<T>{.y = o.some<T>(s), .x = o.some<T>(s), .b = o.some<T>(c)};
    });
    for (bool const accumulate : {false, true})
      same_everywhere([&](Operands& o) {
        return SumRows<T>{.out = o.some<Wide<T>>(c), .dy = o.some<T>(s), .accumulate = accumulate};
      });
    auto const gated = [&]<class Curve>(Curve) {
      same_everywhere([&](Operands& o) {
        return GatedUnit<T, Curve>{.y = o.some<T>(s), .x = o.some<T>(twice)};
      });
      same_everywhere([&](Operands& o) {
        View<T> const x = o.some<T>(twice);
        return GatedUnitInput<T, Curve>{.dx = x, .dy = o.some<T>(s), .x = x};
      });
    };
    gated(SiluCurve{});
    gated(GeluCurve{});
  }
}

namespace {

/// The kernels of both normalisations, of x in T and the rest in S.
template <class T, class S>
void norms_are_the_same() {
  using W = Wide<T>;
  for (Size const& size : sizes) {
    std::int64_t const rows = size.rows, cols = size.cols;
    CAPTURE(cols);
    Shape const s = shape_of(rows, cols), c = shape_of(cols), pairs = shape_of(rows, 2),
                one = shape_of(rows);
    same_everywhere([&](Operands& o) {
      return LayerNorm<T, S>{.y = o.some<S>(s),
                             .statistics = o.some<W>(pairs),
                             .x = o.some<T>(s),
                             .gain = o.some<S>(c),
                             .shift = o.some<S>(c),
                             .epsilon = W(1e-5)};
    });
    for (bool const more : {false, true})
      same_everywhere([&](Operands& o) {
        return LayerNormInput<T, S>{.dx = o.some<T>(s),
                                    .dy = o.some<S>(s),
                                    .x = o.some<T>(s),
                                    .gain = o.some<S>(c),
                                    .statistics = o.some<W>(pairs),
                                    .add = more ? o.some<T>(s) : View<T>{}};
      });
    for (bool const add : {false, true})
      same_everywhere([&](Operands& o) {
        return LayerNormParameters<T, S>{.dgain = o.some<W>(c),
                                         .dshift = o.some<W>(c),
                                         .dy = o.some<S>(s),
                                         .x = o.some<T>(s),
                                         .statistics = o.some<W>(pairs),
                                         .add_gain = add,
                                         .add_shift = !add};
      });
    same_everywhere([&](Operands& o) {
      return RmsNorm<T, S>{.y = o.some<S>(s),
                           .inverse = o.some<W>(one),
                           .x = o.some<T>(s),
                           .gain = o.some<S>(c),
                           .epsilon = W(1e-5)};
    });
    same_everywhere([&](Operands& o) {
      return RmsNormInput<T, S>{.dx = o.some<T>(s),
                                .dy = o.some<S>(s),
                                .x = o.some<T>(s),
                                .gain = o.some<S>(c),
                                .inverse = o.some<W>(one)};
    });
    for (bool const accumulate : {false, true})
      same_everywhere([&](Operands& o) {
        return RmsNormGain<T, S>{.dgain = o.some<W>(c),
                                 .dy = o.some<S>(s),
                                 .x = o.some<T>(s),
                                 .inverse = o.some<W>(one),
                                 .accumulate = accumulate};
      });
  }
}

}  // namespace

TEST_CASE("normalisations") {
  norms_are_the_same<float, float>();
  norms_are_the_same<double, double>();
  norms_are_the_same<float, bf16>();
  norms_are_the_same<float, fp16>();
}

TEST_CASE_TEMPLATE("dropout and rotations", T, EACH_TYPE) {
  std::vector<std::uint32_t> const keys{1, 2, 0x80000000u, 0xffffffffu, 5, 0};
  for (std::int64_t const n : counts) {
    CAPTURE(n);
    Shape const s = shape_of(3, n);
    same_everywhere([&](Operands& o) {
      return Dropout<T>{.y = o.some<T>(s),
                        .x = o.some<T>(s),
                        .keys = o.view(keys, shape_of(3, 2)),
                        .stream = 0x123456789abcdef0u,
                        .probability = 0.3};
    });
  }
  auto const rotations = [&]<RopeLayout Layout>() {
    struct Heads {
      int heads, width, rest;
    };
    for (Heads const& h : {Heads{1, 2, 0}, Heads{6, 16, 33}, Heads{3, 254, 7}})
      for (bool const back : {false, true}) {
        CAPTURE(h.width);
        Shape const s = shape_of(2, 11, h.heads * h.width + h.rest);
        same_everywhere([&](Operands& o) {
          return Rope<T, Layout>{.y = o.some<T>(s),
                                 .x = o.some<T>(s),
                                 .heads = h.heads,
                                 .width = h.width,
                                 .speeds = RopeSpeeds::of(1e4, h.width),
                                 .back = back};
        });
      }
  };
  rotations.template operator()<RopeLayout::half_split>();
  rotations.template operator()<RopeLayout::interleaved>();
}

namespace {

template <class T, class S>
void tables_are_the_same() {
  std::int64_t const vocabulary = 11, sequences = 3, tokens = 7, positions = 9;
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < sequences * tokens; ++i)
    ids.push_back(std::int32_t(i * i % vocabulary));
  for (std::int64_t const cols : {1, 127, 129, 5000}) {
    CAPTURE(cols);
    Shape const s = shape_of(sequences, tokens, cols), of = shape_of(sequences, tokens),
                table = shape_of(vocabulary, cols), places = shape_of(positions, cols);
    same_everywhere([&](Operands& o) {
      return EmbeddingForward<T, S>{
          .y = o.some<T>(s), .tokens = o.view(ids, of), .table = o.some<S>(table)};
    });
    same_everywhere([&](Operands& o) {
      return PositionForward<T, S>{
          .y = o.some<T>(s), .x = o.some<T>(s), .table = o.some<S>(places)};
    });
    for (bool const accumulate : {false, true}) {
      same_everywhere([&](Operands& o) {
        return EmbeddingBackward<T>{.dtable = o.some<Wide<T>>(table),
                                    .dy = o.some<T>(s),
                                    .tokens = o.view(ids, of),
                                    .accumulate = accumulate};
      });
      if (accumulate)
        same_everywhere([&](Operands& o) {
          std::vector<std::int32_t> sorted = ids, from(ids.size());
          std::sort(sorted.begin(), sorted.end());
          std::iota(from.rbegin(), from.rend(), 0);  // any order, as long as it is the same
          return EmbeddingRuns<T>{.dtable = o.some<Wide<T>>(table),
                                  .dy = o.some<T>(s),
                                  .tokens = o.put(sorted),
                                  .places = o.put(from)};
        });
      same_everywhere([&](Operands& o) {
        return PositionBackward<T>{
            .dtable = o.some<Wide<T>>(places), .dy = o.some<T>(s), .accumulate = accumulate};
      });
    }
  }
}

/// Logits in T, their gradient in S, in the same place or elsewhere.
template <class T, class S>
void losses_are_the_same() {
  for (std::int64_t const cols : {1, 127, 129, 5000})
    for (int const gradient : {0, 1, 2}) {
      CAPTURE(cols);
      CAPTURE(gradient);
      std::vector<std::int32_t> const targets{0, -1, std::int32_t(cols - 1)};
      Shape const s = shape_of(3, cols), one = shape_of(3);
      std::int64_t const in_place = cols * std::int64_t(sizeof(T) / sizeof(S));
      same_everywhere([&](Operands& o) {
        View<T> const logits = o.some<T>(s);
        View<S> slope{};
        if (gradient == 1) slope = {reinterpret_cast<S*>(logits.at), s};
        if (gradient == 2) slope = o.some<S>(s);
        return CrossEntropy<T, S>{.logits = logits,
                                  .row_loss = o.some<Wide<T>>(one),
                                  .targets = o.view(targets, one),
                                  .scale = o.positive<Wide<T>>(1),
                                  .factor = gradient == 1 ? o.positive<Wide<T>>(1) : nullptr,
                                  .gradient = slope,
                                  .stride = gradient == 1 ? in_place : 0};
      });
    }
}

}  // namespace

TEST_CASE("tables of embeddings and positions") {
  tables_are_the_same<float, float>();
  tables_are_the_same<double, double>();
  tables_are_the_same<bf16, bf16>();
  tables_are_the_same<fp16, fp16>();
  tables_are_the_same<float, bf16>();
  tables_are_the_same<float, fp16>();
}

TEST_CASE("losses of rows, and of all rows") {
  losses_are_the_same<float, float>();
  losses_are_the_same<double, double>();
  losses_are_the_same<float, bf16>();
  losses_are_the_same<float, fp16>();
  for (std::int64_t const n : counts) {
    same_everywhere([&](Operands& o) {
      return TotalLoss<float>{o.some<float>(1), o.some<float>(shape_of(n)), o.some<float>(1)};
    });
    same_everywhere([&](Operands& o) {
      return TotalLoss<double>{o.some<double>(1), o.some<double>(shape_of(n)), o.some<double>(1)};
    });
  }
}

TEST_CASE_TEMPLATE("squares of elements", T, EACH_TYPE) {
  for (std::int64_t const n : counts)
    same_everywhere([&](Operands& o) {
      return SquaredSum<T>{
          .partial = o.some<double>(SquaredSum<T>{{}, {}, n}.rows()), .x = o.some<T>(n), .n = n};
    });
}

TEST_CASE("sums of pieces and of rows") {
  for (std::int64_t const n : counts) {
    same_everywhere([&](Operands& o) {
      return AddPieces{.sum = o.some<double>(1), .x = o.some<double>(n), .n = n};
    });
    for (std::int64_t const height : {1, 2, 7})
      same_everywhere([&](Operands& o) {
        return AddRows{.to = o.some<double>(n),
                       .x = o.some<double>(height * (n + 3)),
                       .n = n,
                       .height = height,
                       .stride = n + 3};
      });
  }
}

TEST_CASE("exact sums, whose bits are those of any number of rows") {
  auto const some = [](std::int64_t n, double by) {
    std::vector<ExactSum> sums(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i].add(double(i + 1) * by - 1e-30);
    sums[0].add(INFINITY);
    return sums;
  };
  for (std::int64_t const width : {1, 2, 3})
    for (bool const accumulate : {false, true}) {
      for (std::int64_t const n : counts)
        for (std::int64_t const parts : {1, 7, 64})
          same_everywhere([&](Operands& o) {
            return SumExactly{.sums = o.put(some(parts * width, 3)),
                              .x = o.some<double>(n * width),
                              .n = n,
                              .parts = parts,
                              .width = width,
                              .accumulate = accumulate};
          });
      for (std::int64_t const parts : {1, 7, 64, 300})
        same_everywhere([&](Operands& o) {
          return AddSums{.total = o.put(some(width, 7)),
                         .sums = o.put(some(parts * width, 1e30)),
                         .parts = parts,
                         .width = width,
                         .accumulate = accumulate};
        });
      same_everywhere([&](Operands& o) {
        return RoundSums{
            .rounded = o.some<double>(width), .total = o.put(some(width, 1e-300)), .n = width};
      });
    }
}

TEST_CASE_TEMPLATE("sums of parts", T, float, double) {
  for (std::int64_t const n : counts)
    for (int const ranks : {1, 2, 3, 8, 12})
      for (bool const accumulate : {false, true}) {
        same_everywhere([&](Operands& o) {
          return SumParts<T>{.out = o.some<T>(n),
                             .own = o.some<T>(n),
                             .others = o.some<T>((ranks - 1) * n),
                             .n = n,
                             .rank = ranks / 2,
                             .ranks = ranks,
                             .accumulate = accumulate};
        });
        same_everywhere([&](Operands& o) {
          SumInOrder<T> sum{.out = o.some<T>(n), .n = n, .parts = ranks, .part = {}};
          for (int k = 0; k < ranks; ++k) sum.part[k] = o.some<T>(n);
          if (ranks > 1 && accumulate) sum.part[ranks / 2] = sum.out;
          return sum;
        });
      }
}
