/// Where every buffer of a plan lies, known before step 0, and whether a rank's memory holds them.
#pragma once

#include <tessera/core/rule.hpp>
#include <tessera/plan/family.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <Bytes NeedMiB, Bytes HaveMiB>
struct FitsMemory {
  static_assert(AtMost<NeedMiB, HaveMiB>,
                "fits<Trainer>(limit, mesh): the plan needs more memory than a rank has; raise "
                "Zero<Stage>, use more ranks, or lower Batch<Sequences, Tokens>");
};
}  // namespace rule

struct Buffer {
  Arena arena = Arena::own;
  Bytes offset = 0;  // in its arena
  Bytes bytes = 0;
};

/// Offsets of a training plan's buffers. Evaluation uses the same memory.
class Placement {
 public:
  constexpr explicit Placement(Plan const& p) : p_(p) {
    for (int i = 0; i < families; ++i) {
      detail::Sized const s = detail::sized(p, Family(i));
      buffers_[std::size_t(i)] = {s.arena, bytes_[std::size_t(s.arena)], s.bytes};
      bytes_[std::size_t(s.arena)] += aligned(s.bytes);
    }
    gathered_ = detail::slot_bytes(p, false).turn;
    gradient_ = detail::slot_bytes(p, true).turn;
  }

  constexpr Buffer const& of(Family f) const { return buffers_[std::size_t(f)]; }

  // A rank's stretches, and a whole domain's window: the domain's stretch, then one of each rank.
  constexpr Bytes private_bytes() const { return bytes_[std::size_t(Arena::own)]; }
  constexpr Bytes rank_bytes() const { return bytes_[std::size_t(Arena::rank)]; }
  constexpr Bytes domain_bytes() const { return bytes_[std::size_t(Arena::domain)]; }
  constexpr Bytes host_bytes() const { return bytes_[std::size_t(Arena::host)]; }
  constexpr Bytes window_bytes() const { return domain_bytes() + p_.mesh.domain * rank_bytes(); }

  /// Where a buffer of the domain's k-th rank starts in its memory: the private arena or the
  /// window.
  constexpr Bytes start(Family f, int k = 0) const {
    Buffer const& b = of(f);
    return b.arena == Arena::rank ? domain_bytes() + k * rank_bytes() + b.offset : b.offset;
  }

  // Bytes from the start of the buffer.

  /// A flat's layer in weights, gradients, gradient_shares or whole_gradients.
  constexpr Bytes flat(Family f, int flat, int layer) const {
    bool const whole =
        f == Family::weights ? !p_.gathers_into_slots() : f != Family::gradient_shares;
    bool const weights = f == Family::weights;
    Bytes at =
        flat_layer(p_.facts.flats[std::size_t(flat)], layer) * layer_bytes(flat, whole, weights);
    for (int other = 0; other < flat; ++other)
      if (FlatInfo const& o = p_.facts.flats[std::size_t(other)]; o.trainable || weights)
        at += o.layers * layer_bytes(other, whole, weights);
    return at;
  }
  /// Use number `use` of a flat, from 1; number 0 is the flat's gradient.
  constexpr Bytes use_gradient(int flat, int use) const {
    std::int64_t at = (use - 1) * layer_elements(flat, true);
    for (int f = 0; f < flat; ++f)
      if (p_.facts.flats[std::size_t(f)].trainable)
        at += (p_.uses(f) - 1) * layer_elements(f, true);
    return at * p_.layout.real;
  }
  /// A sum over samples that waits, number `waiting` of a use of a flat's layer, from 1.
  constexpr Bytes partial(int flat, int layer, int use, int waiting) const {
    int const most = detail::waiting(p_);
    std::int64_t const index =
        (flat_layer(p_.facts.flats[std::size_t(flat)], layer) * p_.uses(flat) + use) *
            std::int64_t(most) +
        waiting - 1;
    std::int64_t at = index * layer_elements(flat, true);
    for (int f = 0; f < flat; ++f)
      if (FlatInfo const& other = p_.facts.flats[std::size_t(f)]; other.trainable)
        at += other.layers * p_.uses(f) * std::int64_t(most) * layer_elements(f, true);
    return at * p_.layout.real;
  }
  /// One state of a flat's layer: states of a layer lie one behind the other, and behind them what
  /// makes 16-bit weights exact, as state number `Plan::states(flat)`.
  constexpr Bytes state(int flat, int layer, int state) const {
    bool const whole = !p_.steps_own_part();
    std::int64_t const one = layer_elements(flat, whole);
    Bytes at = layer * one * detail::state_bytes(p_, flat) + state * p_.state(flat) * one;
    for (int f = 0; f < flat; ++f)
      if (FlatInfo const& other = p_.facts.flats[std::size_t(f)]; other.trainable)
        at += other.layers * layer_elements(f, whole) * detail::state_bytes(p_, f);
    return at;
  }
  /// A flat that a segment reads, in its slot.
  constexpr Bytes gathered(int segment, int flat, int slot) const {
    return in_slot(segment, flat, slot, false, gathered_);
  }
  constexpr Bytes gradient_slot(int segment, int flat, int slot) const {
    return in_slot(segment, flat, slot, true, gradient_);
  }
  /// The output of a layer, not of the last segment; and what its backward reads.
  constexpr Bytes output(int segment, int layer) const {
    Bytes at = layer * detail::forward_bytes(p_, segment);
    for (int s = 0; s < segment; ++s)
      at += p_.facts.segments[std::size_t(s)].layers * detail::forward_bytes(p_, s);
    return at;
  }
  constexpr Bytes kept(int segment, int layer) const {
    return output(segment, layer) + detail::output_bytes(p_, segment);
  }
  /// The gradient of a turn's output lies in one slot while its input's goes to the other.
  constexpr Bytes boundary_gradient(int slot) const {
    return slot * (of(Family::boundary_gradients).bytes / 2);
  }
  /// The reduced part of a flat's layer in the buffer of forward values, if the plan reuses it.
  constexpr Bytes share_in_forward(int flat, int layer) const {
    int s = p_.segments() - 1;
    Bytes from_end = 0;
    for (; !contributes(s, flat); --s)
      from_end += p_.facts.segments[std::size_t(s)].layers * detail::share_bytes(p_, s);
    from_end += (p_.facts.segments[std::size_t(s)].layers - layer) * detail::share_bytes(p_, s);
    for (FlatUse const& u : p_.facts.segments[std::size_t(s)].flats) {
      if (u.flat == flat) break;
      if (u.flat >= 0 && u.gradient && !p_.facts.flats[std::size_t(u.flat)].tied)
        from_end -= layer_bytes(u.flat, false, false);
    }
    return of(Family::forward).bytes - from_end;
  }
  /// A rank's place in the table of norms and losses.
  constexpr Bytes norms(int rank) const { return rank * Bytes(sizeof(StepSums)); }
  /// A rank's sums over its parts of tensors; behind the last rank's, those of all ranks.
  constexpr Bytes sums(int rank) const { return rank * tensor_sums(p_.facts); }

 private:
  constexpr std::int64_t layer_elements(int flat, bool whole) const {
    return whole ? p_.whole_elements(flat) : p_.part_elements(flat);
  }
  constexpr Bytes layer_bytes(int flat, bool whole, bool weights) const {
    return layer_elements(flat, whole) * (weights ? p_.weight(flat) : p_.layout.real);
  }
  constexpr Bytes in_slot(int segment, int flat, int slot, bool gradient, Bytes turn) const {
    if (p_.facts.flats[std::size_t(flat)].tied) {
      Bytes at = 2 * turn;
      for (int f = 0; f < flat; ++f)
        if (p_.facts.flats[std::size_t(f)].tied && uses(f, gradient))
          at += layer_bytes(f, true, !gradient);
      return at;
    }
    Bytes at = slot * turn;
    for (FlatUse const& u : p_.facts.segments[std::size_t(segment)].flats) {
      if (u.flat == flat) break;
      if (u.flat < 0 || p_.facts.flats[std::size_t(u.flat)].tied) continue;
      if (gradient ? u.gradient : u.forward || u.backward)
        at += layer_bytes(u.flat, true, !gradient);
    }
    return at;
  }
  constexpr bool contributes(int segment, int flat) const {
    for (FlatUse const& u : p_.facts.segments[std::size_t(segment)].flats)
      if (u.flat == flat && u.gradient) return true;
    return false;
  }
  constexpr bool uses(int flat, bool gradient) const {
    for (SegmentInfo const& s : p_.facts.segments)
      for (FlatUse const& u : s.flats)
        if (u.flat == flat && (gradient ? u.gradient : u.forward || u.backward)) return true;
    return false;
  }

  Plan p_;
  std::array<Buffer, families> buffers_{};
  std::array<Bytes, arenas> bytes_{};  // by arena
  Bytes gathered_ = 0, gradient_ = 0;
};

constexpr Placement place(Plan const& plan) {
  return Placement(plan);
}

constexpr Bytes private_bytes(Plan const& plan) {
  return place(plan).private_bytes();
}
/// Of a whole domain.
constexpr Bytes window_bytes(Plan const& plan) {
  return place(plan).window_bytes();
}
/// What a rank allocates, its fair part of the window included.
constexpr Bytes peak(Plan const& plan) {
  Placement const m = place(plan);
  return m.private_bytes() + m.host_bytes() +
         (m.window_bytes() + plan.mesh.domain - 1) / plan.mesh.domain;
}

constexpr bool fits(Plan const& plan, Bytes limit) {
  return peak(plan) <= limit;
}

}  // namespace tessera::inline TESSERA_SETTING
