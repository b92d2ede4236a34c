/// Strict as a rewrite of the rows: where sums over samples become one.
#pragma once

#include <tessera/plan/walk.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Behind the backward that fills a flat's accumulator; behind the last segment that uses a tied
/// flat also the sum over these segments; where ranks share the work, their reduce makes it.
constexpr std::vector<Row> add_merges(Plan const& p, std::vector<Row> const& in) {
  if (p.layout.strict == 0 || p.kind == Kind::evaluate) return in;
  std::vector<Row> out;
  for (Row const& r : in) {
    out.push_back(r);
    if (r.op != Do::backward) continue;
    for (FlatUse const& u : p.facts.segments[std::size_t(r.segment)].flats) {
      if (u.flat < 0 || !u.gradient) continue;
      Contributors const c = contributors(p.facts, u.flat);
      Row row{.pass = r.pass, .segment = r.segment, .flat = u.flat, .op = Do::merge};
      row.once = p.facts.flats[std::size_t(u.flat)].layers == 1 &&
                 p.facts.segments[std::size_t(r.segment)].layers > 1;
      if (p.tree().leaves > 1) out.push_back(row);
      row.op = Do::merge_uses, row.when = When::last;
      if (!p.sharded() && c.segments > 1 && c.last == r.segment) out.push_back(row);
    }
  }
  return out;
}

}  // namespace tessera::inline TESSERA_SETTING
