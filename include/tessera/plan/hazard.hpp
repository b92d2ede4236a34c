/// Puts barriers and waits where ranks or streams would otherwise race, and nowhere else.
#pragma once

#include <tessera/plan/watch.hpp>

namespace tessera::inline TESSERA_SETTING {

/// The same rows with few layers and micro-batches. Rows repeat and slots alternate, so four of
/// each (first, two in the middle, last; the parity kept) meet every situation that more would.
constexpr Plan shortened(Plan const& plan) {
  auto const few = [](int n) { return n <= 4 ? n : 4 - n % 2; };
  Plan p = plan;
  p.micros = few(p.micros);
  for (SegmentInfo& s : p.facts.segments) s.layers = few(s.layers);
  for (FlatInfo& f : p.facts.flats) f.layers = few(f.layers);
  return p;
}

namespace detail {

/// A barrier before a row, or at the end. Bit 0: in the first micro-batch, 1: a middle one, 2: the
/// last. `useful`: where accesses on both of its sides would race without it.
struct Barrier {
  unsigned when = 0, useful = 0;
  Waits wait{};
};

constexpr unsigned micro_class(int micro, int micros) {
  return micro == micros - 1 ? 4u : micro == 0 ? 1u : 2u;
}
constexpr When when_of(unsigned classes, int micros) {
  if (micros == 1) return When::every;
  bool const first = classes & 1u, middle = classes & 2u, last = classes & 4u;
  if (!last) return middle || micros == 2 ? When::not_last : When::first;
  if (first) return When::every;
  return middle ? When::not_first : When::last;
}

constexpr void strengthen(Waits& to, Waits const& by) {
  for (std::size_t x = 0; x < streams; ++x)
    if (to[x] < by[x]) to[x] = by[x];
}

/// Walks two steps of a plan; where ranks race it adds a barrier, where streams race a wait.
class Mender {
 public:
  constexpr explicit Mender(Plan& p) : p_(p), barriers_(2 * p.rows.size() + 1) {}

  /// Starts from a guess, so that few walks are needed: what is missing is added at once, and what
  /// proved needless is taken back, all of it the first time, then one by one.
  constexpr void run() {
    if (p_.shares_memory()) guess();
    for (int round = 0; round < most_rounds; ++round) {
      bool const grew = walk();
      if (!drop(round == 0) && !grew) break;
    }
  }

  /// The rows with their barriers.
  constexpr std::vector<Row> rows() const {
    std::vector<Row> out;
    for (std::size_t i = 0; i < p_.rows.size(); ++i) {
      for (bool once : {false, true}) put(out, p_.rows[i], barriers_[2 * i + once], once);
      out.push_back(p_.rows[i]);
    }
    put(out, {.pass = Pass::update}, barriers_.back(), false);
    return out;
  }

 private:
  static constexpr int most_rounds = 32;

  constexpr void put(std::vector<Row>& out, Row const& before, Barrier const& b, bool once) const {
    if (!b.when) return;
    bool const update = before.pass == Pass::update;
    out.push_back({.pass = before.pass,
                   .segment = before.segment,
                   .flat = update && once ? before.flat : -1,
                   .op = Do::barrier,
                   .when = update ? When::every : when_of(b.when, p_.micros),
                   .wait = b.wait,
                   .ahead = before.ahead,
                   .once = !update && (once || before.once)});
  }

  constexpr void guess() {
    unsigned const any = p_.micros == 1 ? 4u : p_.micros == 2 ? 5u : 7u;
    Row before{};
    bool updating = false;
    for (std::size_t i = 0; i < p_.rows.size(); ++i) {
      Row const& r = p_.rows[i];
      bool const opens = r.op != before.op || r.pass != before.pass || r.segment != before.segment;
      bool const slot = r.op == Do::gather && r.pass != Pass::update && p_.gathers_into_slots();
      if (opens && (slot || r.op == Do::gather_gradient)) barriers_[2 * i].when = any;
      bool const in_update = r.pass == Pass::update;
      if (opens && r.op == Do::reduce && !(in_update && updating)) barriers_[2 * i].when = any;
      updating = in_update;
      before = r;
    }
    if (p_.kind == Kind::train && !p_.gathers_into_slots()) barriers_.back().when = 4u;
  }

  /// Were barriers added?
  constexpr bool walk() {
    grew_ = false;
    for (Barrier& b : barriers_) b.useful = 0, b.wait = {};
    for (Row& r : p_.rows) r.wait = {};
    newest_ = nullptr;
    Hazards watch(p_);
    for (step_ = 0; step_ < 2; ++step_) {
      watch.start();
      crossed_ = 0;
      each_instruction(p_, [&](Instruction const& in) {
        if (step_ == 0 || crossed_ < 2) mend(watch, in);  // behind two barriers a step repeats
      });
      if (step_ == 0 || crossed_ < 2) finish(watch);
    }
    return grew_;
  }

  constexpr void mend(Hazards& watch, Instruction const& in) {
    watch.enter(in.turn);
    if (in.op == Do::release || in.op == Do::load) return;
    Row& row = p_.rows[std::size_t(in.row)];
    unsigned const here = micro_class(in.micro, p_.micros);
    bool const in_update = in.pass == Pass::update;
    // Layers of matrices take turns in one buffer, so a barrier is in the way of each.
    bool const turns = in_update && p_.orthogonalizes(in.flat) && in.op >= Do::prepare;
    bool const alone = turns || (!in_update && in.segment >= 0 && !row.once &&
                                 p_.facts.segments[std::size_t(in.segment)].layers > 1 &&
                                 in.layer == last_layer(p_, in.pass, in.segment));
    std::size_t const at = 2 * std::size_t(in.row);
    if (in_update && in.layer > 0 && !turns) {
      // the group of rows that this one belongs to has one barrier, before its first layer
    } else if (barriers_[at].when & here) {
      cross(watch, barriers_[at], here);
    } else if (alone && (barriers_[at + 1].when & here)) {
      cross(watch, barriers_[at + 1], here);
    }
    watch.look(p_, in);
    if (watch.needs_barrier() && newest_) newest_->useful |= newest_class_;
    if (watch.races()) {
      // Across steps the end of the update is the place: then weights are whole when a step
      // returns.
      bool const of_last_step = step_ > 0 && !barriers_.back().when;
      Barrier& b = of_last_step ? barriers_.back() : barriers_[at + alone];
      unsigned const when = of_last_step ? 4u : here;
      b.when |= when;
      b.useful |= when;
      grew_ = true;
      cross(watch, b, when);
      watch.look(p_, in);
    }
    strengthen(row.wait, watch.missing(row.stream, row.wait));
    watch.issue(row.stream, row.wait);
  }

  constexpr void finish(Hazards& watch) {
    Barrier& end = barriers_.back();
    if (end.when) cross(watch, end, 4u);
    watch.look_at_end();
    if (watch.needs_barrier() && newest_) newest_->useful |= newest_class_;
    if (!watch.races()) return;
    end.when = end.useful = 4u;
    grew_ = true;
    cross(watch, end, 4u);
  }

  constexpr void cross(Hazards& watch, Barrier& b, unsigned here) {
    watch.look(p_, Instruction{.row = -1, .op = Do::barrier});
    strengthen(b.wait, watch.missing(Stream::compute, b.wait));
    watch.issue(Stream::compute, b.wait);
    ++crossed_;
    newest_ = &b;
    newest_class_ = here;
  }

  constexpr bool drop(bool all) {
    bool dropped = false;
    for (Barrier& b : barriers_) {
      if (!(b.when & ~b.useful)) continue;
      b.when &= b.useful;
      dropped = true;
      if (!all) break;
    }
    return dropped;
  }

  Plan& p_;
  // Before each row: at every layer, at the last one; in the update: at the first, at every one.
  // And at the end.
  std::vector<Barrier> barriers_;
  Barrier* newest_ = nullptr;
  unsigned newest_class_ = 0;
  bool grew_ = false;
  int step_ = 0, crossed_ = 0;  // barriers crossed in this step
};

}  // namespace detail

/// The plan's rows in an order that holds on every rank; one rank needs none.
constexpr void mend_hazards(Plan& plan) {
  if (!plan.sharded()) return;
  Plan few = shortened(plan);
  detail::Mender mender(few);
  mender.run();
  plan.rows = mender.rows();
  plan.index();
}

}  // namespace tessera::inline TESSERA_SETTING
