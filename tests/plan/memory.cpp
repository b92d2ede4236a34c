#include <tessera/plan/memory.hpp>

#include "toy.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace tessera;

namespace {

constexpr Bytes bytes(Plan const& p, Family f) {
  return place(p).of(f).bytes;
}
constexpr Bytes whole = (51'200 + 1'024 + 3 * 4'096 + 1'024) * Bytes(sizeof(Real));

struct Span {
  Bytes begin, end;
};
bool disjoint(std::vector<Span> const& spans) {
  for (std::size_t i = 0; i < spans.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (spans[i].begin < spans[j].end && spans[j].begin < spans[i].end) return false;
  return true;
}

}  // namespace

TEST_CASE("weights, gradients and states shrink with the stage") {
  static_assert(bytes(toy::plan(0, {4, 4}), Family::weights) == whole);
  static_assert(bytes(toy::plan(3, {4, 4}), Family::weights) == whole);  // once a domain
  static_assert(place(toy::plan(3, {4, 4})).of(Family::weights).arena == Arena::domain);
  static_assert(bytes(toy::plan(3, {4, 2}), Family::weights) == whole / 4);
  static_assert(bytes(toy::plan(0, {4, 4}), Family::optimizer) == 2 * whole);
  static_assert(bytes(toy::plan(1, {4, 4}), Family::optimizer) == 2 * whole / 4);
  static_assert(bytes(toy::plan(1, {4, 4}), Family::gradients) == whole);
  static_assert(bytes(toy::plan(2, {4, 4}), Family::gradients) == 0);
  static_assert(bytes(toy::plan(2, {4, 4}, Micro, 2), Family::gradient_shares) == whole / 4);
  static_assert(bytes(toy::plan(2, {4, 4}), Family::gradient_shares) == 0);
  static_assert(bytes(toy::plan(0, {4, 4}, Micro), Family::whole_gradients) == whole);
}

TEST_CASE("slots hold the largest turn twice and each tied flat once") {
  constexpr Bytes slots = (2 * 4'096 + 51'200) * Bytes(sizeof(Real));
  static_assert(bytes(toy::plan(3, {4, 2}), Family::gathered) == slots);
  static_assert(bytes(toy::plan(2, {4, 2}), Family::gradient_slots) == slots);
  static_assert(bytes(toy::plan(3, {4, 4}), Family::gathered) == 0);
}

TEST_CASE("other domains' parts of a gradient are exchanged through one buffer") {
  static_assert(bytes(toy::plan(3, {4, 4}), Family::exchange) == 0);
  static_assert(bytes(toy::plan(3, {4, 2}), Family::exchange) == 2 * 12'800 * Bytes(sizeof(Real)));
  static_assert(bytes(toy::gpu_plan(3, {4, 1}, true, 2), Family::exchange) == 0);
}

TEST_CASE("an optimizer across tensors has two sums of every rank's part of each, and of all") {
  constexpr Bytes table = (4 + 1) * 16 * 2 * Bytes(sizeof(double));  // ranks, tensors
  static_assert(bytes(toy::plan(3, {4, 2}, Step, 1, 3, Across::sums), Family::sums) == table);
  static_assert(bytes(toy::plan(0, {4, 2}, Step, 1, 3, Across::sums), Family::sums) == table);
  static_assert(bytes(toy::plan(3, {4, 2}), Family::sums) == 0);
}

TEST_CASE("matrices have one state, and one buffer for a layer's update, once a domain") {
  constexpr Bytes real = sizeof(Real), part = (51'200 + 1'024 + 3 * 1'024 + 1'024) / 4;
  constexpr auto with = [](int zero, int domain) {
    return toy::plan(zero, {4, domain}, Step, 1, 3, Across::matrices);
  };
  static_assert(bytes(with(1, 4), Family::optimizer) == (2 * part + 3 * 3'072 / 4) * real);
  static_assert(bytes(with(1, 4), Family::update) == 3'072 * real);
  static_assert(place(with(1, 4)).of(Family::update).arena == Arena::domain);
  static_assert(place(with(0, 4)).of(Family::update).arena == Arena::own);
  static_assert(place(with(3, 1)).of(Family::update).arena == Arena::own);
  static_assert(bytes(toy::plan(1, {4, 4}), Family::update) == 0);
  // The largest matrix, two squares of its side, and what products want.
  static_assert(bytes(with(1, 4), Family::workspace) == (2'048 + 2 * 1'024) * real + 512);
  for (int zero : {0, 1}) {
    Plan const p = with(zero, 4);
    Placement const m = place(p);
    std::vector<Span> states;
    for (int f = 0; f < p.flats(); ++f)
      for (int l = 0; l < p.facts.flats[std::size_t(f)].layers; ++l)
        for (int s = 0; s < p.states(f); ++s) {
          Bytes const at = m.state(f, l, s);
          states.push_back(
              {at, at + (zero ? p.part_elements(f) : p.whole_elements(f)) * p.layout.real});
        }
    CHECK(disjoint(states));
    CHECK(states.back().end == m.of(Family::optimizer).bytes);
  }
}

TEST_CASE("buffers are aligned and never overlap") {
  for (int zero = 0; zero < 4; ++zero)
    for (Reduction mode : {Step, Micro})
      for (int domain : {4, 2, 1}) {
        Plan const p = toy::plan(zero, {4, domain}, mode, 2);
        Placement const m = place(p);
        std::vector<Span> own, window, host;
        for (int i = 0; i < families; ++i) {
          Family const f = Family(i);
          Buffer const& b = m.of(f);
          CHECK(b.offset % buffer_alignment == 0);
          if (b.bytes == 0) continue;
          auto& in = b.arena == Arena::own ? own : b.arena == Arena::host ? host : window;
          Bytes const has = b.arena == Arena::own    ? m.private_bytes()
                            : b.arena == Arena::host ? m.host_bytes()
                                                     : m.window_bytes();
          for (int k = 0; k < (b.arena == Arena::rank ? domain : 1); ++k)
            in.push_back({m.start(f, k), m.start(f, k) + b.bytes});
          CHECK(in.back().end <= has);
        }
        CHECK(disjoint(own));
        CHECK(disjoint(window));
        CHECK(disjoint(host));
        if (domain == 1) CHECK(m.window_bytes() == 0);
        CHECK(peak(p) == m.private_bytes() + m.host_bytes() + m.window_bytes() / domain);
      }
}

TEST_CASE("layers, states and slots lie inside their buffer without overlap") {
  for (int zero : {0, 2, 3})
    for (int domain : {4, 2}) {
      Plan const p = toy::plan(zero, {4, domain}, Micro, 2);
      Placement const m = place(p);
      std::vector<Span> shares, states;
      for (int f = 0; f < p.flats(); ++f)
        for (int l = 0; l < p.facts.flats[std::size_t(f)].layers; ++l) {
          Bytes const part = p.part_elements(f) * p.layout.real;
          Bytes const stepped = zero > 0 ? part : 4 * part;
          Bytes const at = m.flat(Family::gradient_shares, f, l);
          shares.push_back({at, at + part});
          for (int s = 0; s < 2; ++s) {
            Bytes const state = m.state(f, l, s);
            states.push_back({state, state + stepped});
          }
        }
      CHECK(disjoint(shares));
      CHECK(disjoint(states));
      CHECK(shares.back().end == m.of(Family::gradient_shares).bytes);
      CHECK(states.back().end == m.of(Family::optimizer).bytes);
    }
  Placement const m = place(toy::plan(3, {4, 2}));
  CHECK(m.gathered(1, toy::blocks, 0) == 0);
  CHECK(m.gathered(1, toy::blocks, 1) == 4'096 * Bytes(sizeof(Real)));
  CHECK(m.gathered(0, toy::tokens, 0) == 2 * 4'096 * Bytes(sizeof(Real)));
  CHECK(m.gathered(2, toy::tokens, 1) == m.gathered(0, toy::tokens, 0));
  CHECK(m.output(1, 2) == 8'448 + 2 * (8'192 + 65'536));
  CHECK(m.kept(1, 2) == m.output(1, 2) + 8'192);
  CHECK(m.kept(2, 0) == 8'448 + 3 * (8'192 + 65'536));
}

TEST_CASE("reduced parts lie in forward values' memory, behind what backward has still to read") {
  for (int zero : {2, 3})
    for (Mesh const mesh : {Mesh{4, 4}, Mesh{4, 2}, Mesh{2, 1}}) {
      Plan const p = toy::plan(zero, mesh, Micro, 1, 3);
      REQUIRE(p.reuses_memory());
      Placement const m = place(p);
      std::vector<Span> shares;
      for (int s = p.segments(); s-- > 0;)
        for (int l = p.facts.segments[std::size_t(s)].layers; l-- > 0;) {
          for (FlatUse const& u : p.facts.segments[std::size_t(s)].flats) {
            if (u.flat < 0 || !u.gradient || p.facts.flats[std::size_t(u.flat)].tied) continue;
            Bytes const at = m.share_in_forward(u.flat, l);
            shares.push_back({at, at + p.part_elements(u.flat) * p.layout.real});
            CHECK(at >= 0);
            CHECK(at % 64 == 0);
            CHECK(shares.back().end <= m.of(Family::forward).bytes);
          }
          // What backward reads from here on.
          for (int t = 0; t <= s; ++t)
            for (int k = 0; k < p.facts.segments[std::size_t(t)].layers; ++k) {
              if (t == s && k >= l) continue;
              Bytes const end = m.kept(t, k) + p.facts.segments[std::size_t(t)].kept;
              for (Span const& share : shares) CHECK(end <= share.begin);
            }
        }
      CHECK(shares.size() == 5);
      CHECK(disjoint(shares));
    }
  // Of several micro-batches each adds to its parts: they keep their own buffers.
  CHECK(!toy::plan(3, {4, 4}, Micro, 2).reuses_memory());
}

TEST_CASE("a limit is met or not, before anything is allocated") {
  static_assert(fits(outline(toy::facts(), toy::layout(3), {4, 4}), 2_MiB));
  static_assert(!fits(outline(toy::facts(), toy::layout(3), {4, 4}), 100_KiB));
  static_assert(peak(outline(toy::facts(), toy::layout(3), {4, 4})) == peak(toy::plan(3, {4, 4})));
  [[maybe_unused]] rule::FitsMemory<1, 2> fits_well;
}
