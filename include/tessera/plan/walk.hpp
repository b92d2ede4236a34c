/// The plan of a step and the one order in which its rows run: executor, renderer, byte counts and
/// proofs all go through each_instruction.
#pragma once

#include <tessera/core/mesh.hpp>
#include <tessera/plan/facts.hpp>
#include <tessera/plan/layout.hpp>
#include <tessera/plan/row.hpp>
#include <tessera/plan/sample_tree.hpp>

#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// What a plan is for. Evaluation runs forward only.
enum class Kind : std::uint8_t { train, evaluate };

struct Range {
  int begin = 0, end = 0;
};

struct Plan {
  Layout layout{};
  Mesh mesh{};
  Facts facts{};
  Kind kind = Kind::train;
  int micros = 1;
  Reduction mode = Reduction::step;
  std::vector<Row> rows{};      // by pass and segment, in the order they are issued
  std::vector<Range> ranges{};  // of rows: begin, forward of each segment, backward..., update

  constexpr int segments() const { return int(facts.segments.size()); }
  constexpr int flats() const { return int(facts.flats.size()); }
  constexpr bool sharded() const { return mesh.data > 1; }
  /// Ranks of one domain read each other's memory.
  constexpr bool shares_memory() const { return mesh.data > 1 && mesh.domain > 1; }
  /// A rank keeps only its part of the weights, and gathers copy them into a slot.
  constexpr bool gathers_into_slots() const {
    return layout.zero == 3 && sharded() && mesh.domains() > 1;
  }
  /// A domain keeps the weights once and each rank steps its own part.
  constexpr bool steps_own_part() const { return layout.zero > 0 && sharded(); }
  /// Tensors are divided, and a step takes sums over whole ones.
  constexpr bool exchanges_sums() const {
    return layout.across == Across::sums && steps_own_part();
  }
  /// Its layers' updates take turns in one buffer.
  constexpr bool orthogonalizes(int flat) const {
    return flat >= 0 && facts.flats[std::size_t(flat)].matrices;
  }
  /// Statistics: a step adds changes to them.
  constexpr bool runs(int flat) const { return facts.flats[std::size_t(flat)].running; }
  constexpr int states(int flat) const {
    if (runs(flat)) return 0;
    return orthogonalizes(flat) ? layout.matrix_states : layout.states;
  }
  /// How the gradients of a rank's micro-batches, which are samples then, are added.
  constexpr SampleTree tree() const { return sample_tree(layout.strict, micros, mesh.data); }
  /// Gradients of a flat that stay apart until each is summed over all samples.
  constexpr int uses(int flat) const {
    return layout.strict > 0 ? contributors(facts, flat).segments : 1;
  }
  /// The one that a segment's backward makes.
  constexpr int use(int segment, int flat) const {
    int before = 0;
    for (int s = 0; s < segment && layout.strict > 0; ++s)
      for (FlatUse const& u : facts.segments[std::size_t(s)].flats)
        before += u.flat == flat && u.gradient;
    return before;
  }
  // How a flat is stored, and bytes of one element: a weight, what makes it exact, a state.
  constexpr bool in_full(int flat) const { return facts.flats[std::size_t(flat)].full; }
  constexpr DType stored(int flat) const { return in_full(flat) ? DType::real : layout.low; }
  constexpr DType state_type(int flat) const {
    return in_full(flat) ? DType::real : layout.state_type();
  }
  constexpr Bytes weight(int flat) const { return in_full(flat) ? layout.real : layout.weight(); }
  constexpr Bytes master(int flat) const { return in_full(flat) ? 0 : layout.master(); }
  constexpr Bytes state(int flat) const { return in_full(flat) ? layout.real : layout.state(); }
  /// Backward writes into slots that a reduce empties after each turn.
  constexpr bool reduces_slots() const { return sharded() && mode == Reduction::micro; }
  /// With one micro-batch a rank's reduced parts need no buffers of their own: a tied flat's stays
  /// in its slot, others lie where forward values lay that backward has read by then.
  constexpr bool reuses_memory() const {
    return reduces_slots() && steps_own_part() && micros == 1;
  }

  constexpr std::int64_t whole_elements(int flat) const {
    return padded(facts.flats[std::size_t(flat)].elements, mesh.data);
  }
  constexpr std::int64_t part_elements(int flat) const {
    return part(facts.flats[std::size_t(flat)].elements, mesh.data);
  }
  /// The segment where backward ends. The last segment always runs there: it computes the loss.
  constexpr int backward_end() const {
    int const first = first_trained(facts), last = segments() - 1;
    return first < last ? first : last;
  }
  constexpr int range_of(Pass pass, int segment) const {
    switch (pass) {
      case Pass::begin: return 0;
      case Pass::forward: return 1 + segment;
      case Pass::backward: return 1 + segments() + segment;
      case Pass::update: return 1 + 2 * segments();
    }
    return 0;
  }
  constexpr Range rows_of(Pass pass, int segment) const {
    return ranges[std::size_t(range_of(pass, segment))];
  }
  /// Must follow every change of rows.
  constexpr void index() {
    ranges.assign(std::size_t(2 + 2 * segments()), Range{});
    for (int i = 0; i < int(rows.size()); ++i) {
      Range& r =
          ranges[std::size_t(range_of(rows[std::size_t(i)].pass, rows[std::size_t(i)].segment))];
      if (r.begin == r.end) r.begin = i;
      r.end = i + 1;
    }
  }
};

/// One layer's pass in one micro-batch; index counts the turns of the step.
struct Turn {
  Pass pass = Pass::update;
  int segment = -1, layer = 0, micro = 0;
  int index = 0;
};

/// A row at work.
struct Instruction {
  int row = -1;
  Do op = Do::load;
  Pass pass = Pass::begin;
  int segment = -1, flat = -1;
  int layer = 0;  // of the segment, or of the flat in the update
  int micro = 0;
  int slot = 0;           // of gathered weights
  int gradient_slot = 0;  // of gradients to reduce
  int turn = 0;           // the turn that is running when this is issued
};

constexpr int turns_per_micro(Plan const& p) {
  int n = 0;
  for (int s = 0; s < p.segments(); ++s) {
    int const layers = p.facts.segments[std::size_t(s)].layers;
    if (p.kind == Kind::evaluate || s + 1 < p.segments()) n += layers;
    if (p.kind == Kind::train && s >= p.backward_end()) n += layers;
  }
  return n;
}

/// Forward through all segments but the last; then backward, where the last one runs both ways.
constexpr Turn turn_at(Plan const& p, int micro, int i, int per_micro) {
  int const index = micro * per_micro + i;
  int const forward_end = p.segments() - (p.kind == Kind::train ? 1 : 0);
  for (int s = 0; s < forward_end; ++s) {
    int const layers = p.facts.segments[std::size_t(s)].layers;
    if (i < layers) return {Pass::forward, s, i, micro, index};
    i -= layers;
  }
  for (int s = p.segments() - 1; s >= 0; --s) {
    int const layers = p.facts.segments[std::size_t(s)].layers;
    if (i < layers) return {Pass::backward, s, layers - 1 - i, micro, index};
    i -= layers;
  }
  return {};
}

/// The layer that a pass reaches last.
constexpr int last_layer(Plan const& p, Pass pass, int segment) {
  return pass == Pass::forward ? p.facts.segments[std::size_t(segment)].layers - 1 : 0;
}

constexpr bool fills_gradient_slot(Plan const& p, int segment) {
  for (FlatUse const& u : p.facts.segments[std::size_t(segment)].flats)
    if (u.flat >= 0 && u.gradient && !p.facts.flats[std::size_t(u.flat)].tied) return true;
  return false;
}

namespace detail {

/// Who is walked past. Virtual, as one walk is then enough for all of them, at compile time too.
struct Walked {
  constexpr virtual void take(Instruction const& in) = 0;

 protected:
  ~Walked() = default;
};

class Walker {
 public:
  constexpr Walker(Plan const& plan, Walked& walked) : p_(plan), walked_(walked) {}

  constexpr void run() {
    int const n = turns_per_micro(p_);
    for (int micro = 0; micro < p_.micros; ++micro) {
      rows(Pass::begin, Turn{Pass::begin, -1, 0, micro, micro * n}, false);
      for (int i = 0; i < n; ++i) {
        Turn const now = turn_at(p_, micro, i, n);
        now_ = now.index;
        if (now.index == 0) early(now);
        if (i + 1 < n)
          early(turn_at(p_, micro, i + 1, n));
        else if (micro + 1 < p_.micros)
          early(turn_at(p_, micro + 1, 0, n));
        rows(now.pass, now, false);
        if (now.pass == Pass::backward && fills_gradient_slot(p_, now.segment)) ++filled_;
      }
    }
    now_ = p_.micros * n;
    update();
  }

 private:
  constexpr void early(Turn const& next) { rows(next.pass, next, true); }

  constexpr void rows(Pass pass, Turn const& t, bool ahead) {
    Range const range = p_.rows_of(pass, t.segment);
    for (int i = range.begin; i < range.end; ++i) {
      Row const& r = p_.rows[std::size_t(i)];
      if (r.ahead != ahead || !runs(r.when, t.micro, p_.micros)) continue;
      if (r.once && !is_last(t)) continue;
      walked_.take(
          {i, r.op, pass, t.segment, r.flat, t.layer, t.micro, t.index % 2, filled_ % 2, now_});
    }
  }

  constexpr bool is_last(Turn const& t) const {
    return t.layer == last_layer(p_, t.pass, t.segment);
  }

  /// Neighbours of one flat take turns layer by layer.
  constexpr void update() {
    Range const range = p_.rows_of(Pass::update, -1);
    for (int i = range.begin, end = i; i < range.end; i = end) {
      int const flat = p_.rows[std::size_t(i)].flat;
      for (end = i + 1; flat >= 0 && end < range.end && p_.rows[std::size_t(end)].flat == flat;)
        ++end;
      int const layers = flat < 0 ? 1 : p_.facts.flats[std::size_t(flat)].layers;
      for (int layer = 0; layer < layers; ++layer)
        for (int j = i; j < end; ++j)
          walked_.take({j, p_.rows[std::size_t(j)].op, Pass::update, -1, flat, layer, p_.micros - 1,
                        0, 0, now_});
    }
  }

  Plan const& p_;
  Walked& walked_;
  int now_ = 0;
  int filled_ = 0;
};

}  // namespace detail

/// Calls f(Instruction) for everything a rank does in a step, in order.
template <class F>
constexpr void each_instruction(Plan const& plan, F&& f) {
  struct Taker final : detail::Walked {
    constexpr explicit Taker(F& f) : f_(f) {}
    constexpr void take(Instruction const& in) override { f_(in); }
    F& f_;
  } taker(f);
  detail::Walker(plan, taker).run();
}

/// How often a row runs in a step.
constexpr std::int64_t executions(Plan const& p, Row const& r) {
  std::int64_t micros = 0;
  for (int m = 0; m < p.micros; ++m) micros += runs(r.when, m, p.micros);
  if (r.pass == Pass::begin) return micros;
  if (r.pass == Pass::update) return r.flat < 0 ? 1 : p.facts.flats[std::size_t(r.flat)].layers;
  if (p.kind == Kind::train && r.pass == Pass::forward && r.segment == p.segments() - 1) return 0;
  if (r.pass == Pass::backward && (p.kind == Kind::evaluate || r.segment < p.backward_end()))
    return 0;
  return r.once ? micros : micros * p.facts.segments[std::size_t(r.segment)].layers;
}

/// Does this backward add to the gradient of `flat`, or write it first? And a reduce to its share?
constexpr bool accumulates(Plan const& p, Instruction const& in, int flat) {
  if (in.op == Do::reduce) return p.reduces_slots() && in.micro > 0;
  bool const strict = p.layout.strict > 0;
  if (strict ? !p.tree().opens(in.micro) : !p.reduces_slots() && in.micro > 0) return true;
  int const first = strict ? in.segment : contributors(p.facts, flat).first;
  bool const one_for_all = p.facts.flats[std::size_t(flat)].layers == 1;
  int const first_layer = p.facts.segments[std::size_t(first)].layers - 1;
  return in.segment != first || (one_for_all && in.layer != first_layer);
}

}  // namespace tessera::inline TESSERA_SETTING
