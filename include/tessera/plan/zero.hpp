/// Zero<0..3> as a rewrite of the rows: which weights and gradients cross the data axis, and when.
#pragma once

#include <tessera/plan/walk.hpp>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

/// Does the turn before this segment's use the flat's only slot? Then it cannot be gathered early.
constexpr bool used_before(Plan const& p, Pass pass, int segment, int flat) {
  auto const reads = [&](Pass by, int s) {
    bool const both = by == Pass::backward && s == p.segments() - 1;
    for (FlatUse const& u : p.facts.segments[std::size_t(s)].flats)
      if (u.flat == flat && (both || (by == Pass::forward ? u.forward : u.backward))) return true;
    return false;
  };
  if (!p.facts.flats[std::size_t(flat)].tied) return false;
  if (p.facts.segments[std::size_t(segment)].layers > 1) return true;
  int const last = p.segments() - 1;
  if (pass == Pass::backward)
    return segment < last ? reads(Pass::backward, segment + 1)
           : last > 0     ? reads(Pass::forward, last - 1)
                          : p.micros > 1;
  if (segment > 0) return reads(Pass::forward, segment - 1);
  if (p.micros == 1) return false;
  return p.kind == Kind::evaluate ? reads(Pass::forward, last)
                                  : reads(Pass::backward, p.backward_end());
}

constexpr Row gather_row(Plan const& p, Row const& before, int flat) {
  Bytes const others = p.mesh.data - 1, part = p.part_elements(flat) * p.weight(flat);
  Bytes const copies = p.mesh.domains() - (p.gathers_into_slots() ? 0 : 1);
  return {.pass = before.pass,
          .segment = before.segment,
          .flat = flat,
          .op = Do::gather,
          .stream = stream_of(Do::gather),
          .payload = others * part,
          .copied = copies * part};
}

/// One buffer for a domain, as with weights that it keeps once.
constexpr Row gather_update_row(Plan const& p, Row const& before) {
  Bytes const part = p.part_elements(before.flat) * p.layout.real;
  return {.pass = before.pass,
          .flat = before.flat,
          .op = Do::gather_update,
          .stream = stream_of(Do::gather_update),
          .payload = (p.mesh.data - 1) * part,
          .copied = (p.mesh.domains() - 1) * part};
}

constexpr Row reduce_row(Plan const& p, Row const& after, int flat, Do op) {
  int const sums = op == Do::reduce ? p.uses(flat) : 1;
  Bytes const others = sums * (p.mesh.data - 1) * p.part_elements(flat) * p.layout.real;
  return {.pass = after.pass,
          .segment = after.segment,
          .flat = flat,
          .op = op,
          .stream = stream_of(op),
          .payload = others,
          .copied = others};
}

constexpr Row exchange_sums_row(Plan const& p) {
  Bytes const others = (p.mesh.data - 1) * tensor_sums(p.facts);
  return {.pass = Pass::update, .op = Do::exchange_sums, .payload = others, .copied = others};
}

/// Flats that the rows of `row`'s pass and segment read, as gathers before or releases behind. Tied
/// ones come last: the barrier that frees the turns' slots then stands before all of them.
constexpr void add_gathers(Plan const& p, Row const& row, Do op, std::vector<Row>& out) {
  bool const both = row.pass == Pass::backward && row.segment == p.segments() - 1;
  for (bool tied : {false, true})
    for (FlatUse const& u : p.facts.segments[std::size_t(row.segment)].flats) {
      bool const forward = both || row.pass == Pass::forward, backward = both || !forward;
      if (u.flat < 0 || p.facts.flats[std::size_t(u.flat)].tied != tied) continue;
      if (!(forward && u.forward) && !(backward && u.backward)) continue;
      if (op == Do::gather) {
        out.push_back(gather_row(p, row, u.flat));
        out.back().ahead = !used_before(p, row.pass, row.segment, u.flat);
      } else {
        out.push_back(
            {.pass = row.pass, .segment = row.segment, .flat = u.flat, .op = Do::release});
      }
    }
}

/// Behind the backward that fills a slot; a tied gradient once, behind its last contributor.
constexpr void add_reduces(Plan const& p, Row const& row, std::vector<Row>& out) {
  SegmentInfo const& segment = p.facts.segments[std::size_t(row.segment)];
  for (FlatUse const& u : segment.flats) {
    if (u.flat < 0 || !u.gradient || contributors(p.facts, u.flat).last != row.segment) continue;
    out.push_back(reduce_row(p, row, u.flat, Do::reduce));
    out.back().once = p.facts.flats[std::size_t(u.flat)].layers == 1 && segment.layers > 1;
  }
}

/// Gradients that are kept whole are reduced in the update: ranks wait for one another once, not
/// behind every layer's backward, and a norm follows its reduce while the part is in the cache.
constexpr void add_update_reduces(Plan const& p, Row const& norm, bool first,
                                  std::vector<Row>& out) {
  bool const whole = p.layout.zero == 0, step = p.mode == Reduction::step;
  if (!whole && step) out.push_back(reduce_row(p, norm, norm.flat, Do::reduce));
  if (!whole || !first) return;
  for (Do op : {Do::reduce, Do::gather_gradient})
    for (int f = 0; f < p.flats(); ++f)
      if (p.facts.flats[std::size_t(f)].trainable && (step || op != Do::reduce))
        out.push_back(reduce_row(p, norm, f, op));
}

}  // namespace detail

/// Bytes per rank and step: see policy/zero.hpp. One rank: nothing to do.
constexpr std::vector<Row> shard_data(Plan const& p, std::vector<Row> const& in) {
  if (!p.sharded()) return in;
  std::vector<Row> out;
  bool first_norm = true, first_step = true;
  for (Row const& r : in) {
    bool const both = r.pass == Pass::backward && r.segment == p.segments() - 1;
    bool const computes = r.op == Do::forward || r.op == Do::backward;
    bool const trains = !both || first_trained(p.facts) < p.segments();
    if (p.layout.zero == 3 && computes && !(both && r.op == Do::backward))
      detail::add_gathers(p, r, Do::gather, out);
    if (r.op == Do::norm) {
      detail::add_update_reduces(p, r, first_norm, out);
      first_norm = false;
    }
    if (r.op == Do::orthogonalize && p.steps_own_part())
      out.push_back(detail::gather_update_row(p, r));
    if (r.op == Do::step) {
      if (first_step && p.exchanges_sums()) out.push_back(detail::exchange_sums_row(p));
      first_step = false;
    }
    out.push_back(r);
    if (p.layout.zero == 3 && computes && !(both && r.op == Do::forward && trains))
      detail::add_gathers(p, r, Do::release, out);
    if (r.op == Do::backward && p.reduces_slots()) detail::add_reduces(p, r, out);
    if (r.op == Do::step && (p.layout.zero == 1 || p.layout.zero == 2))
      out.push_back(detail::gather_row(p, r, r.flat));
  }
  return out;
}

}  // namespace tessera::inline TESSERA_SETTING
