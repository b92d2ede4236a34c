/// The families of buffers that a plan needs, in which memory they lie and how many bytes each has.
#pragma once

#include <tessera/plan/matrices.hpp>
#include <tessera/plan/plan.hpp>

namespace tessera::inline TESSERA_SETTING {
/// One kind of buffer, in the order in which they lie in their arena.
enum class Family : std::uint8_t {
  weights,            // whole, or a rank's part
  gathered,           // slots that gathers fill
  gradients,          // whole; a reduce leaves the rank's part in place
  use_gradients,      // of a tied flat's other segments, as long as they stay apart
  partial_gradients,  // sums over samples that wait for their neighbours
  gradient_slots,     // of one turn, until its reduce
  gradient_shares,    // the rank's reduced part
  whole_gradients,    // what gather_gradient fills when backward writes slots
  optimizer,          // states, of what this rank steps
  forward,            // of each layer its output, and the values that backward reads
  boundary_gradients,
  scratch,    // of one layer
  workspace,  // of one kernel
  batch,      // inputs and targets
  exchange,   // other domains' parts of a gradient
  losses,     // of each micro-batch, and of samples what each counts
  norms,      // sums of squares, losses and tokens of every rank
  sums,       // of squares over every rank's parts of tensors, and over all
  update      // of a layer's matrices, whole, while it is orthogonalised
};
inline constexpr int families = int(Family::update) + 1;

enum class Arena : std::uint8_t {
  own,     // private to the rank
  rank,    // the rank's own stretch of its domain's window
  domain,  // the stretch of the window that the domain has once
  host     // of the rank, where the host reads and writes, too
};
inline constexpr int arenas = 4;

namespace detail {

struct Sized {
  Arena arena = Arena::own;
  Bytes bytes = 0;
};

/// Bytes of one slot for the untied flats that one turn uses, and of all tied flats' own slots.
struct SlotBytes {
  Bytes turn = 0, tied = 0;
};
constexpr SlotBytes slot_bytes(Plan const& p, bool gradient) {
  SlotBytes b;
  std::vector<char> counted(std::size_t(p.flats()), 0);
  for (SegmentInfo const& s : p.facts.segments) {
    Bytes turn = 0;
    for (FlatUse const& u : s.flats) {
      if (u.flat < 0 || !(gradient ? u.gradient : u.forward || u.backward)) continue;
      Bytes const whole = p.whole_elements(u.flat) * (gradient ? p.layout.real : p.weight(u.flat));
      if (!p.facts.flats[std::size_t(u.flat)].tied) {
        turn += whole;
      } else if (!counted[std::size_t(u.flat)]) {
        counted[std::size_t(u.flat)] = 1;
        b.tied += whole;
      }
    }
    if (b.turn < turn) b.turn = turn;
  }
  return b;
}

/// What a rank keeps beside each weight of a flat that it steps.
constexpr Bytes state_bytes(Plan const& p, int flat) {
  return p.states(flat) * p.state(flat) + p.master(flat);
}

/// Elements of all trained flats, each layer whole or a part.
constexpr std::int64_t flat_elements(Plan const& p, bool whole) {
  std::int64_t sum = 0;
  for (int f = 0; f < p.flats(); ++f) {
    FlatInfo const& flat = p.facts.flats[std::size_t(f)];
    if (!flat.trainable) continue;
    sum += flat.layers * (whole ? p.whole_elements(f) : p.part_elements(f));
  }
  return sum;
}

/// Weights of all flats, each layer whole or a part.
constexpr Bytes weight_bytes(Plan const& p, bool whole) {
  Bytes sum = 0;
  for (int f = 0; f < p.flats(); ++f)
    sum += p.facts.flats[std::size_t(f)].layers * p.weight(f) *
           (whole ? p.whole_elements(f) : p.part_elements(f));
  return sum;
}

/// A product's workspace lies before the buffers of the matrix.
constexpr Bytes largest_orthogonal(Plan const& p) {
  Bytes most = 0;
  for (MatrixInfo const& m : p.facts.matrices)
    if (Bytes const n = orthogonal_workspace(m, p.layout.real) + p.layout.product_workspace;
        most < n)
      most = n;
  return most;
}
constexpr Bytes largest_update(Plan const& p) {
  Bytes most = 0;
  for (int f = 0; f < p.flats(); ++f)
    if (Bytes const n = p.whole_elements(f) * p.layout.real; p.orthogonalizes(f) && most < n)
      most = n;
  return most;
}

/// Bytes of the reduced parts that a turn of a segment's backward leaves, of flats that are not
/// tied.
constexpr Bytes share_bytes(Plan const& p, int segment) {
  Bytes sum = 0;
  for (FlatUse const& u : p.facts.segments[std::size_t(segment)].flats)
    if (u.flat >= 0 && u.gradient && !p.facts.flats[std::size_t(u.flat)].tied)
      sum += p.part_elements(u.flat) * p.layout.real;
  return sum;
}
/// Output and kept values of a layer; the last segment's output is the loss, which lies elsewhere.
constexpr Bytes output_bytes(Plan const& p, int segment) {
  return segment < p.segments() - 1 ? aligned(p.facts.segments[std::size_t(segment)].output) : 0;
}
constexpr Bytes forward_bytes(Plan const& p, int segment) {
  return output_bytes(p, segment) + aligned(p.facts.segments[std::size_t(segment)].kept);
}
/// Forward values fill their buffer from its start; from its end reduced parts follow, if they
/// reuse it, as backward frees it.
constexpr Bytes forward_bytes(Plan const& p) {
  Bytes values = 0, shares = 0;
  for (int s = 0; s < p.segments(); ++s)
    values += p.facts.segments[std::size_t(s)].layers * forward_bytes(p, s);
  Bytes most = values;
  for (int s = p.segments(); s-- > 0 && p.reuses_memory();)
    for (int l = 0; l < p.facts.segments[std::size_t(s)].layers; ++l) {
      values -= forward_bytes(p, s);
      shares += share_bytes(p, s);
      if (most < values + shares) most = values + shares;
    }
  return aligned(most);
}

constexpr Bytes largest_part(Plan const& p) {
  Bytes most = 0;
  for (int f = 0; f < p.flats(); ++f) {
    Bytes const part = p.part_elements(f) * p.layout.real;
    if (p.facts.flats[std::size_t(f)].trainable && most < part) most = part;
  }
  return most;
}

}  // namespace detail

/// Index of the sums of a layer's first tensor in one rank's row of the table of sums.
constexpr int sum_entry(Plan const& p, int flat, int layer) {
  return trained_tensors(p.facts, flat) + layer * p.facts.flats[std::size_t(flat)].tensors;
}

namespace detail {

/// Sums over samples that wait for a neighbour, of each use of a flat.
constexpr int waiting(Plan const& p) {
  return p.layout.strict > 0 ? p.tree().accumulators() - 1 : 0;
}

constexpr Sized sized(Plan const& p, Family family) {
  bool const d = p.sharded(), near = p.shares_memory(), slots = p.reduces_slots();
  bool const parts = p.gathers_into_slots(), own = p.steps_own_part();
  Arena const rank = near ? Arena::rank : Arena::own, domain = near ? Arena::domain : Arena::own;
  int const last = p.segments() - 1;
  Bytes const real = p.layout.real;
  Bytes sum = 0, most = 0;
  switch (family) {
    case Family::weights: return {own && !parts ? domain : Arena::own, weight_bytes(p, !parts)};
    case Family::gathered: {
      if (!parts) return {};
      SlotBytes const b = slot_bytes(p, false);
      return {domain, 2 * b.turn + b.tied};
    }
    case Family::gradients:
      if (slots) return {};
      return {d ? rank : Arena::own, real * flat_elements(p, true)};
    case Family::partial_gradients:
      for (int f = 0; f < p.flats(); ++f)
        if (FlatInfo const& flat = p.facts.flats[std::size_t(f)]; flat.trainable)
          sum += real * flat.layers * p.whole_elements(f) * p.uses(f) * waiting(p);
      return {Arena::own, sum};
    case Family::use_gradients:
      for (int f = 0; f < p.flats(); ++f)
        if (p.facts.flats[std::size_t(f)].trainable)
          sum += real * p.whole_elements(f) * (p.uses(f) - 1);
      return {d ? rank : Arena::own, sum};
    case Family::gradient_slots: {
      if (!slots) return {};
      SlotBytes const b = slot_bytes(p, true);
      return {rank, 2 * b.turn + b.tied};
    }
    case Family::gradient_shares:
      if (!slots || p.reuses_memory()) return {};
      return {own ? Arena::own : rank, real * flat_elements(p, false)};
    case Family::whole_gradients:
      return {Arena::own, slots && !own ? real * flat_elements(p, true) : 0};
    case Family::optimizer:
      for (int f = 0; f < p.flats(); ++f)
        if (FlatInfo const& flat = p.facts.flats[std::size_t(f)]; flat.trainable)
          sum += state_bytes(p, f) * flat.layers * (own ? p.part_elements(f) : p.whole_elements(f));
      return {Arena::own, sum};
    case Family::forward: return {Arena::own, forward_bytes(p)};
    case Family::boundary_gradients:
      for (int s = 0; s < last; ++s)
        if (most < p.facts.segments[std::size_t(s)].output)
          most = p.facts.segments[std::size_t(s)].output;
      return {Arena::own, 2 * aligned(most)};
    case Family::scratch:
      for (SegmentInfo const& s : p.facts.segments)
        if (most < s.scratch) most = s.scratch;
      return {Arena::own, aligned(most)};
    case Family::workspace:
      most = largest_orthogonal(p);
      return {Arena::own, aligned(most < p.facts.workspace ? p.facts.workspace : most)};
    case Family::batch: return {Arena::own, aligned(p.facts.batch)};
    case Family::exchange:
      return {Arena::own,
              d && !p.layout.unordered ? (p.mesh.data - p.mesh.domain) * largest_part(p) : 0};
    case Family::losses: return {Arena::host, aligned(p.micros * p.facts.losses() * p.layout.real)};
    case Family::norms: return {Arena::host, aligned(Bytes(sizeof(StepSums)) * p.mesh.data)};
    case Family::sums:
      if (p.layout.across != Across::sums) return {};
      return {Arena::own, aligned(tensor_sums(p.facts) * (p.mesh.data + 1))};
    case Family::update: return {own ? domain : Arena::own, largest_update(p)};
  }
  return {};
}

}  // namespace detail

}  // namespace tessera::inline TESSERA_SETTING
