#include <tessera/plan/plan.hpp>

#include "toy.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace tessera;

TEST_CASE("every row runs as often as executions says") {
  for (int zero = 0; zero < 4; ++zero)
    for (Reduction mode : {Step, Micro})
      for (int domain : {4, 2, 1})
        for (int micros : {1, 3}) {
          Plan const train = toy::plan(zero, {4, domain}, mode, micros);
          Plan const sums = toy::plan(zero, {4, domain}, mode, micros, 3, Across::sums);
          Plan const matrices = toy::plan(zero, {4, domain}, mode, micros, 3, Across::matrices);
          for (Plan const& p : {train, evaluate_plan(train, micros), sums, matrices}) {
            std::vector<std::int64_t> times(p.rows.size(), 0);
            each_instruction(p, [&](Instruction const& in) { ++times[std::size_t(in.row)]; });
            for (std::size_t i = 0; i < times.size(); ++i)
              CHECK(times[i] == executions(p, p.rows[i]));
          }
        }
}

TEST_CASE("a plan has the same rows for any depth and any number of micro-batches above two") {
  CHECK(toy::plan(3, {4, 2}, Micro, 3, 12).rows.size() ==
        toy::plan(3, {4, 2}, Micro, 64, 96).rows.size());
}

TEST_CASE("one rank neither gathers nor reduces nor waits") {
  for (Reduction mode : {Step, Micro}) {
    Plan const p = toy::plan(3, {1, 1}, mode, 2);
    for (Row const& r : p.rows) {
      CHECK((r.op != Do::gather && r.op != Do::reduce && r.op != Do::barrier));
      CHECK(r.wait == Waits{});
    }
    CHECK(payload(p) == 0);
  }
}

TEST_CASE(
    "forward stops before the loss; backward runs the last segment both ways, then reverses") {
  Plan const p = toy::plan(0, {1, 1}, Step, 1);
  std::vector<std::vector<int>> seen;
  each_instruction(p, [&](Instruction const& in) {
    if (in.op == Do::forward || in.op == Do::backward)
      seen.push_back({in.op == Do::backward, in.segment, in.layer});
  });
  CHECK(seen == std::vector<std::vector<int>>{{0, 0, 0},
                                              {0, 1, 0},
                                              {0, 1, 1},
                                              {0, 1, 2},
                                              {0, 2, 0},
                                              {1, 2, 0},
                                              {1, 1, 2},
                                              {1, 1, 1},
                                              {1, 1, 0},
                                              {1, 0, 0}});
}

TEST_CASE("the first contribution to a gradient overwrites, the others add") {
  struct Case {
    Mesh mesh;
    Reduction mode;
    bool later_micros_add;
  };
  for (Case c : {Case{{4, 4}, Step, true}, Case{{4, 4}, Micro, false}, Case{{1, 1}, Micro, true}}) {
    Plan const p = toy::plan(2, c.mesh, c.mode, 2);
    each_instruction(p, [&](Instruction const& in) {
      bool const later = in.micro > 0 && c.later_micros_add;
      if (in.op == Do::backward && in.segment == 2) CHECK(accumulates(p, in, toy::tokens) == later);
      if (in.op == Do::backward && in.segment == 1) CHECK(accumulates(p, in, toy::blocks) == later);
      if (in.op == Do::backward && in.segment == 0) {
        CHECK(accumulates(p, in, toy::tokens));  // the head was there before
        CHECK(accumulates(p, in, toy::positions) == later);
      }
      if (in.op == Do::reduce)
        CHECK(accumulates(p, in, in.flat) == (c.mode == Micro && in.micro > 0));
    });
  }
}

TEST_CASE("a tied gradient is reduced once, behind its last contributor") {
  Plan const p = toy::plan(2, {4, 4}, Micro, 1);
  int reduces = 0, last_backward = -1;
  each_instruction(p, [&](Instruction const& in) {
    if (in.op == Do::backward) last_backward = in.segment;
    if (in.op != Do::reduce || in.flat != toy::tokens) return;
    ++reduces;
    CHECK(last_backward == 0);
  });
  CHECK(reduces == 1);
}

TEST_CASE("frozen flats are gathered, never reduced or stepped, and backward ends above them") {
  Facts f = toy::facts();
  f.flats[toy::positions].trainable = false;
  f.flats[toy::tokens].trainable = false;
  for (FlatUse& u : f.segments[0].flats) u.gradient = false;
  f.segments[2].flats[0].gradient = false;
  Plan const p = make_plan(f, toy::layout(3), {4, 2});
  bool gathered = false;
  for (Row const& r : p.rows) {
    gathered = gathered || (r.op == Do::gather && r.flat == toy::tokens);
    if (r.flat == toy::tokens || r.flat == toy::positions)
      CHECK((r.op == Do::gather || r.op == Do::release));
    if (r.op == Do::backward) CHECK(r.segment > 0);
  }
  CHECK(gathered);
}

TEST_CASE("an optimizer across tensors prepares before it steps; sums cross where parts do") {
  // Per rank: two doubles for each of 1 + 1 + 3 x 4 + 2 tensors.
  for (int zero = 0; zero < 4; ++zero) {
    Plan const p = toy::plan(zero, {4, 2}, Step, 1, 3, Across::sums);
    CHECK(payload(p, Do::exchange_sums) == (zero ? 3 * 16 * 2 * Bytes(sizeof(double)) : 0));
    CHECK(copied(p, Do::exchange_sums) == payload(p, Do::exchange_sums));
    int prepared = 0, exchanged = 0, stepped = 0;
    each_instruction(p, [&](Instruction const& in) {
      prepared += in.op == Do::prepare, exchanged += in.op == Do::exchange_sums;
      if (in.op != Do::step) return;
      CHECK(prepared == 6);
      CHECK(exchanged == (zero > 0));
      ++stepped;
    });
    CHECK(stepped == 6);
  }
  for (Row const& r : toy::plan(3, {4, 2}).rows)
    CHECK((r.op != Do::prepare && r.op != Do::exchange_sums));
}

TEST_CASE("layers of matrices are prepared, gathered, orthogonalised and stepped one by one") {
  for (int zero = 0; zero < 4; ++zero) {
    Plan const p = toy::plan(zero, {4, 2}, Step, 1, 3, Across::matrices);
    Bytes const part = 3'072 / 4 * Bytes(sizeof(Real));
    CHECK(payload(p, Do::gather_update) == (zero ? 3 * 3 * part : 0));
    CHECK(copied(p, Do::gather_update) == (zero ? 3 * part : 0));  // the other domain's
    std::vector<Do> seen;
    each_instruction(p, [&](Instruction const& in) {
      if (in.flat == toy::matrices && updates(in.op)) seen.push_back(in.op);
      if (in.flat != toy::matrices) CHECK((in.op != Do::prepare && in.op != Do::orthogonalize));
    });
    std::vector<Do> layer{Do::prepare, Do::gather_update, Do::orthogonalize, Do::step}, all;
    if (zero == 0) layer.erase(layer.begin() + 1);
    for (int l = 0; l < 3; ++l) all.insert(all.end(), layer.begin(), layer.end());
    CHECK(seen == all);
  }
}

TEST_CASE("a global batch becomes micro-batches at launch, or is refused") {
  Layout l = toy::layout(1);
  l.global_batch = 32;
  static_assert(micros_of(Layout{.sequences = 2, .tokens = 16, .global_batch = 32}, 4) == 4);
  CHECK(make_plan(toy::facts(), l, {4, 4}).micros == 4);
  CHECK(micros_of(l, 3) == 0);
  CHECK_THROWS(make_plan(toy::facts(), l, {3, 3}));
}
