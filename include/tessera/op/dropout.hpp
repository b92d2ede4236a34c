/// Dropout in training: y = x / (1 - p) with probability 1 - p, else 0. The mask is a function of
/// the run's seed, the sample of the run, segment, layer and place of the op, and the element, so
/// that backward makes it again, and ranks, micro-batches and layouts do not change it.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/dropout.hpp>
#include <tessera/kernels/elementwise.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Drop {  // operands: x, noise; attribute: how many of the segment are before it; number: p
  static constexpr std::string_view name = "dropout";
  static constexpr Traits traits{
      .overwrites = 0b01, .low_in = 0b01, .low_out = 0b1, .follows = true};
  static constexpr ShapeFault check(Shape x, Shape noise) { return {x[0], noise[0]}; }
  static constexpr Shape shape(Shape x, Shape noise) {
    if (x[0] != noise[0]) throw "dropout: the value's first dimension is not the sequences";
    return x;
  }
  static constexpr double flops(Signature const& s) { return 20.0 * double(s.out.count()); }
  static constexpr void adjoint(auto& d) { d.to(0, apply<Drop>(d.settings(), d.dy(), d.in(1))); }
};
template <class B>
struct kernels<Drop, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Low const> x, View<std::uint32_t const> noise) {
    if (!team.training) {
      if (y.at != x.at) team.run(kernel::Convert<Low, Low>{.y = y, .x = x});
      return;
    }
    RandomKey place;
    place.stream = team.stream;
    team.run(kernel::Dropout<Low>{.y = y,
                                  .x = x,
                                  .keys = noise,
                                  .stream = place.at(std::uint64_t(team.attribute)).stream,
                                  .probability = team.number});
  }
};
static_assert(complete<Drop>);

/// x [sequences, ..]; off in evaluation and generation. With probability 0 it is x itself.
constexpr Value dropout(Value x, double probability) {
  if (!(probability >= 0 && probability < 1) && !x.trace->probing)
    throw "dropout: the probability must be at least 0 and below 1";
  if (probability == 0) return x;
  int before = 0;
  for (Node const& n : x.trace->nodes) before += n.op == &table<Drop>;
  return apply<Drop>({.attribute = before, .number = probability}, x, field(x, Field::noise));
}

}  // namespace tessera::inline TESSERA_SETTING
