/// make_plan: facts, layout and mesh to the table of what every rank does in a step.
#pragma once

#include <tessera/core/exact_sum.hpp>
#include <tessera/plan/hazard.hpp>
#include <tessera/plan/strict.hpp>
#include <tessera/plan/zero.hpp>

namespace tessera::inline TESSERA_SETTING {

/// What a step's ranks tell one another about their samples and their parts of the gradient.
struct StepSums {
  ExactSum squares{}, loss{};
  double valid = 0;  // targets that are not ignored
};

/// What one rank alone would do.
constexpr std::vector<Row> baseline(Plan const& p) {
  std::vector<Row> rows;
  int const segments = p.segments(), trained = first_trained(p.facts);
  auto const compute = [&](Pass pass, int s, Do op) {
    rows.push_back({.pass = pass, .segment = s, .op = op});
  };
  auto const update = [&](Do op) {
    for (int f = 0; f < p.flats(); ++f)
      if (p.facts.flats[std::size_t(f)].trainable)
        rows.push_back({.pass = Pass::update, .flat = f, .op = op});
  };
  bool const train = p.kind == Kind::train;
  rows.push_back({.pass = Pass::begin, .op = Do::load});
  for (int s = 0; s < segments - train; ++s) compute(Pass::forward, s, Do::forward);
  for (int s = segments - 1; train && s >= p.backward_end(); --s) {
    if (s == segments - 1) compute(Pass::backward, s, Do::forward);
    if (s >= trained) compute(Pass::backward, s, Do::backward);
  }
  if (train) update(Do::norm);
  Bytes const exchanged = (p.mesh.data - 1) * Bytes(sizeof(StepSums));
  rows.push_back(
      {.pass = Pass::update, .op = Do::exchange, .payload = exchanged, .copied = exchanged});
  if (train && p.layout.across == Across::sums) update(Do::prepare);
  for (int f = 0; f < p.flats() && train; ++f) {
    if (!p.facts.flats[std::size_t(f)].trainable) continue;
    auto const row = [&](Do op) { rows.push_back({.pass = Pass::update, .flat = f, .op = op}); };
    if (p.orthogonalizes(f)) row(Do::prepare), row(Do::orthogonalize);
    row(Do::step);
  }
  return rows;
}

/// A plan without its rows: all that memory depends on.
constexpr Plan outline(Facts const& facts, Layout const& layout, Mesh mesh,
                       Kind kind = Kind::train) {
  Plan p{.layout = layout,
         .mesh = mesh,
         .facts = facts,
         .kind = kind,
         .micros = micros_of(layout, mesh.data),
         .mode = layout.reduction()};
  if (p.micros < 1)
    throw "GlobalBatch<N>: N is not a multiple of Sequences times the data degree; change one";
  if (kind == Kind::train && layout.strict > 0 && p.tree().leaves == 0)
    throw "Strict<Group>: data ranks must divide the groups of samples; change one";
  return p;
}

/// Every rewrite, in the one order: Strict, Zero, then barriers and waits.
constexpr Plan make_plan(Facts const& facts, Layout const& layout, Mesh mesh,
                         Kind kind = Kind::train) {
  Plan p = outline(facts, layout, mesh, kind);
  p.rows = shard_data(p, add_merges(p, baseline(p)));
  p.index();
  mend_hazards(p);
  return p;
}

/// The same state, forward only: losses of `micros` micro-batches.
constexpr Plan evaluate_plan(Plan const& train, int micros = 1) {
  Layout layout = train.layout;
  layout.global_batch = 0;
  layout.accumulate = micros;
  return make_plan(train.facts, layout, train.mesh, Kind::evaluate);
}

/// Bytes that a rank's step carries over the data axis in principle.
constexpr Bytes payload(Plan const& p) {
  Bytes sum = 0;
  for (Row const& r : p.rows) sum += r.payload * executions(p, r);
  return sum;
}
constexpr Bytes payload(Plan const& p, Do op) {
  Bytes sum = 0;
  for (Row const& r : p.rows)
    if (r.op == op) sum += r.payload * executions(p, r);
  return sum;
}

/// Bytes that a rank's step moves: less where ranks share memory.
constexpr Bytes copied(Plan const& p) {
  Bytes sum = 0;
  for (Row const& r : p.rows) sum += r.copied * executions(p, r);
  return sum;
}
constexpr Bytes copied(Plan const& p, Do op) {
  Bytes sum = 0;
  for (Row const& r : p.rows)
    if (r.op == op) sum += r.copied * executions(p, r);
  return sum;
}

}  // namespace tessera::inline TESSERA_SETTING
