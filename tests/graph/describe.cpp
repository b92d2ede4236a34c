// static
#include <tessera/graph/describe.hpp>

#include <tessera/layer/gpt2.hpp>

namespace {

using namespace tessera;

template <int Sequences, int Tokens>
struct Micro {
  static constexpr int sequences = Sequences, tokens = Tokens;
  static constexpr std::span<std::string_view const> frozen{};
};
using S = Micro<2, 8>;

constexpr int width = 20, layers = 3, words = 33;
using Gpt = Gpt2<layers, width, 2, words, 8>;

// A tied parameter has one flat, every segment one for its own parameters, in the order of need.
constexpr bool flats_are_these = [] {
  Facts const f = describe<Gpt, S>();
  auto const is = [&](int i, std::string_view name, int copies, std::int64_t elements, bool tied) {
    FlatInfo const& x = f.flats[std::size_t(i)];
    return x.name == name && x.layers == copies && x.elements == elements && x.tied == tied &&
           x.trainable;
  };
  auto const a = [](std::int64_t n) { return round_up(n, 64); };
  std::int64_t const norm = 2 * a(width);
  std::int64_t const block = 2 * norm + a(3 * width * width) + a(3 * width) + a(width * width) +
                             a(width) + a(4 * width * width) + a(4 * width) + a(4 * width * width) +
                             a(width);
  return f.flats.size() == 4 && is(0, "token", 1, a(words * width), true) &&
         is(1, "embed", 1, a(8 * width), false) && is(2, "blocks", layers, block, false) &&
         is(3, "head", 1, norm, false);
}();
static_assert(flats_are_these);

template <int I>
constexpr bool places_are_aligned() {
  std::int64_t end = 0;
  int k = 0;
  for (ParameterPlace const& p : places<Gpt, I, S>) {
    ParameterInfo const& info = parameters<Gpt, I, S>[std::size_t(k++)];
    if (p.offset % parameter_alignment != 0) return false;
    if (!info.tie.empty()) {
      if (p.flat != 0 || p.offset != 0) return false;
      continue;
    }
    if (p.offset < end) return false;
    end = p.offset + info.shape.count();
  }
  return true;
}
static_assert(places_are_aligned<0>() && places_are_aligned<1>() && places_are_aligned<2>());

// Which passes read which flat.
constexpr bool uses_are_these = [] {
  Facts const f = describe<Gpt, S>();
  auto const is = [&](int segment, int use, int flat, bool forward, bool backward) {
    FlatUse const& u = f.segments[std::size_t(segment)].flats[std::size_t(use)];
    return u.flat == flat && u.forward == forward && u.backward == backward && u.gradient;
  };
  return is(0, 0, 0, true, false) && is(0, 1, 1, true, false) && is(1, 0, 2, true, true) &&
         is(2, 0, 3, true, true) && is(2, 1, 0, true, true) && f.segments[1].flats[1].flat == -1;
}();
static_assert(uses_are_these);

// Floating point operations of one block, counted by hand: R rows, C columns, T tokens.
constexpr bool flops_are_these = [] {
  SegmentInfo const s = describe<Gpt, S>().segments[1];
  double const R = 16, C = width, T = 8, n = R * C;
  double const products = 2 * R * C * (3 * C + C + 4 * C + 4 * C);
  double const forward = products + 2 * n * (T + 1) + 2 * 8 * n + 20 * 4 * n + 2 * n;
  double const sums_for_biases = n * (3 + 1 + 4 + 1);
  double const backward =
      2 * products + 5 * n * (T + 1) + 2 * (5 + 10) * n + 4 * n + sums_for_biases + 2 * n;
  return s.forward_flops == forward && s.backward_flops == backward;
}();
static_assert(flops_are_these);
// The head's loss is computed once, on the way of its gradient.
static_assert(describe<Gpt, S>().segments[2].forward_flops == 8 * 16 * width);

static_assert(describe<Gpt, S>().segments[0].output == aligned(16 * width * Bytes(sizeof(Real))));
static_assert(describe<Gpt, S>().segments[2].output == 0);
static_assert(vocabulary<Gpt, S> == words);
constexpr BatchFields small_batch = batch_fields(token_batch(3, 5));
static_assert(small_batch.target == 256 && small_batch.loss_scale == 512);
static_assert(small_batch.noise == 768 && small_batch.bytes == 1024 &&
              batch_fields(token_batch(8, 16)).target == 512);

// As many segments as a model may have, each with a flat of its own, and a tied one: more than the
// compiler expects, and none is left out.
struct Long {
  TokenAndPositionEmbedding<words, 8, width> embed;
  LayerNorm<width> a, b, c, d, e, f, g, h, i, j, k, l, m, n;
  TiedLmHead<words, width> head;
};
static_assert(describe<Long, S>().segments.size() == 16);
static_assert(describe<Long, S>().flats.size() == 17);
static_assert(17 > detail::usual_counts<Long>.flats);
static_assert(describe<Long, S>().flats.back().name == "head" &&
              describe<Long, S>().flats.back().elements == 2 * round_up(width, 64));

}  // namespace
