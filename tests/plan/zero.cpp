#include <tessera/plan/zero.hpp>

#include "toy.hpp"

#include <doctest/doctest.h>

using namespace tessera;

namespace {

constexpr Bytes ring(Bytes whole, int ranks) {
  return whole / ranks * (ranks - 1);
}
constexpr Bytes flat(int f, int ranks) {
  FlatInfo const info = toy::facts().flats[std::size_t(f)];
  return info.layers * padded(info.elements, ranks) * Bytes(sizeof(Real));
}
constexpr Bytes all(int ranks) {
  return flat(0, ranks) + flat(1, ranks) + flat(2, ranks) + flat(3, ranks);
}
constexpr Bytes exchanged(int ranks) {
  // Two exact sums of 68 digits, a count and what is not finite, and the valid targets.
  return (ranks - 1) * Bytes(sizeof(double)) * (2 * (68 + 2) + 1);
}
constexpr Bytes traffic(int zero, Mesh mesh, Reduction mode = Reduction::automatic,
                        int micros = 1) {
  return payload(toy::plan(zero, mesh, mode, micros)) - exchanged(mesh.data);
}

}  // namespace

TEST_CASE("stage 0 carries gradients twice; 1 and 2 gradients and weights once") {
  constexpr Bytes g = ring(all(4), 4), w = g;
  static_assert(traffic(0, {4, 4}) == 2 * g);
  static_assert(traffic(1, {4, 4}) == g + w);
  static_assert(traffic(2, {4, 4}) == g + w);
  static_assert(traffic(0, {4, 1}) == 2 * g);
  static_assert(traffic(1, {4, 2}) == g + w);
  static_assert(traffic(2, {4, 1}) == g + w);
}

TEST_CASE("stage 3 carries gradients once, and weights wherever they are read") {
  // Embed reads in forward only, the head runs both ways on one gather, blocks gather twice.
  constexpr Bytes gathers = ring(2 * flat(toy::tokens, 4) + flat(toy::positions, 4) +
                                     2 * flat(toy::blocks, 4) + flat(toy::norm, 4),
                                 4);
  static_assert(traffic(3, {4, 4}) == ring(all(4), 4) + gathers);
  static_assert(traffic(3, {4, 1}, Micro, 2) == 2 * (ring(all(4), 4) + gathers));
  static_assert(traffic(3, {4, 1}, Step, 2) == ring(all(4), 4) + 2 * gathers);
}

TEST_CASE("reducing after every micro-batch costs its number times the gradients") {
  constexpr Bytes g = ring(all(4), 4);
  static_assert(traffic(1, {4, 4}, Step, 3) == 2 * g);
  static_assert(traffic(1, {4, 4}, Micro, 3) == 4 * g);
}

TEST_CASE("strict sums carry the gradient of each use of a tied flat") {
  constexpr Bytes g = ring(all(4) + flat(toy::tokens, 4), 4), w = ring(all(4), 4);
  static_assert(payload(toy::strict_plan(1, {4, 4}, 8)) - exchanged(4) == g + w);
  static_assert(payload(toy::strict_plan(3, {4, 1}, 1), Do::reduce) == g);
}

TEST_CASE("a gather copies nothing inside a domain, and other domains' parts across") {
  static_assert(copied(toy::plan(1, {4, 4}), Do::gather) == 0);
  static_assert(copied(toy::plan(3, {4, 4}), Do::gather) == 0);
  static_assert(copied(toy::plan(1, {4, 2}), Do::gather) == all(4) / 4);
  static_assert(copied(toy::plan(1, {4, 1}), Do::gather) == 3 * all(4) / 4);
  // Into a slot: the rank's own part, too.
  static_assert(3 * copied(toy::plan(3, {4, 1}), Do::gather) ==
                4 * payload(toy::plan(3, {4, 1}), Do::gather));
  for (int domain : {4, 2, 1})
    CHECK(copied(toy::plan(1, {4, domain}), Do::reduce) ==
          payload(toy::plan(1, {4, domain}), Do::reduce));
}

TEST_CASE("gathers of slots are issued one turn early unless the turn before uses the same slot") {
  Facts f = toy::facts();
  f.segments.erase(f.segments.begin() + 1);  // the head follows the embedding
  f.flats.erase(f.flats.begin() + 2);
  f.segments[1].flats[1].flat = 2;
  Plan const p = make_plan(f, toy::layout(3), {4, 2});
  for (Row const& r : p.rows)
    if (r.op == Do::gather) CHECK(r.ahead == !(r.flat == toy::tokens && r.segment == 1));
}
