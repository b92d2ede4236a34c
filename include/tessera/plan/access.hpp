/// Which bytes of weights and gradients an instruction touches: the ground of all ordering proofs.
///
/// Activations are left out: one stream computes, so its order is theirs. Where reduced parts lie
/// in their memory, a turn's backward, the last that reads there, and its forward stand for all.
#pragma once

#include <tessera/plan/walk.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Which bytes of a buffer. Every data rank has a buffer of its own (owned by the rank), or the
/// ranks that share memory have one (owned by the domain).
enum class Reach : std::uint8_t {
  own,         // my part of my buffer, or of the domain's
  assigned,    // the matrices of the domain's buffer that I have to orthogonalise
  others,      // my buffer except my part
  whole,       // all of my buffer, or of the domain's
  each_mine,   // my part of every rank's buffer
  each_theirs  // every rank's own part of its buffer
};

/// Can two different ranks meet, one by `a` and the other by `b`, in a buffer of this owner?
constexpr bool meet(bool by_domain, Reach a, Reach b) {
  if (by_domain) return a != b || (a != Reach::own && a != Reach::assigned);
  if (a > b) return meet(by_domain, b, a);
  switch (b) {
    case Reach::own:
    case Reach::assigned:
    case Reach::others:
    case Reach::whole: return false;  // both in buffers of their own
    case Reach::each_mine: return a == Reach::others || a == Reach::whole;
    case Reach::each_theirs: return a == Reach::own || a == Reach::whole || a == Reach::each_mine;
  }
  return true;
}

struct Access {
  int buffer = 0;
  Reach reach = Reach::whole;
  bool writes = false;
};

/// Numbers the buffers: a family's layer of a flat, a slot, or a tied flat's own slot.
class Buffers {
 public:
  enum Family : std::uint8_t { weights, gradients, shares, whole_gradients };

  constexpr explicit Buffers(Plan const& p) : shared_(p.shares_memory()) {
    for (FlatInfo const& f : p.facts.flats) {
      first_.push_back(layers_);
      layers_ += f.layers;
    }
    by_rank_weights_ = p.gathers_into_slots() || p.layout.zero == 0;
    by_rank_update_ = p.layout.zero == 0;
    shares_are_read_ = p.layout.zero == 0;
  }
  constexpr int count() const { return update() + 1; }
  /// Of the optimizer, for one layer of matrices at a time.
  constexpr int update() const { return 4 * layers_ + 2 * slots(); }
  constexpr int gradients_begin() const { return layers_; }
  constexpr int of(Family family, int flat, int layer) const {
    return family * layers_ + first_[std::size_t(flat)] + layer;
  }
  constexpr int gathered(FlatInfo const& f, int flat, int slot) const {
    return 4 * layers_ + (f.tied ? 2 + flat : slot);
  }
  constexpr int gradient_slot(FlatInfo const& f, int flat, int slot) const {
    return 4 * layers_ + slots() + (f.tied ? 2 + flat : slot);
  }
  /// Do peers reach into it?
  constexpr bool is_shared(int buffer) const {
    if (!shared_) return false;
    if (buffer < layers_) return !by_rank_weights_;
    if (buffer < 2 * layers_) return true;
    if (buffer < 3 * layers_) return shares_are_read_;
    if (buffer == update()) return !by_rank_update_;
    return buffer >= 4 * layers_;
  }
  constexpr bool by_domain(int buffer) const {
    return buffer < layers_ || buffer == update() ||
           (buffer >= 4 * layers_ && buffer < 4 * layers_ + slots());
  }

 private:
  constexpr int slots() const { return 2 + int(first_.size()); }

  std::vector<int> first_{};
  int layers_ = 0;
  bool shared_ = false, by_rank_weights_ = false, by_rank_update_ = false;
  bool shares_are_read_ = false;
};

namespace detail {

template <class F>
constexpr void accesses_of_compute(Plan const& p, Buffers const& b, Instruction const& in, F&& f) {
  for (FlatUse const& u : p.facts.segments[std::size_t(in.segment)].flats) {
    if (u.flat < 0) continue;
    FlatInfo const& flat = p.facts.flats[std::size_t(u.flat)];
    int const layer = flat_layer(flat, in.layer);
    if (in.op == Do::forward ? u.forward : u.backward) {
      if (p.gathers_into_slots())
        f(Access{b.gathered(flat, u.flat, in.slot), Reach::whole, false});
      else
        f(Access{b.of(Buffers::weights, u.flat, layer), Reach::whole, false});
    }
    if (u.gradient && !flat.tied && p.reuses_memory())
      f(Access{b.of(Buffers::shares, u.flat, layer), Reach::own, in.op == Do::forward});
    if (in.op == Do::backward && u.gradient) {
      if (p.reduces_slots())
        f(Access{b.gradient_slot(flat, u.flat, in.gradient_slot), Reach::whole, true});
      else
        f(Access{b.of(Buffers::gradients, u.flat, layer), Reach::whole, true});
    }
  }
}

}  // namespace detail

namespace detail {

/// Of the update of matrices. Another flat's is cut into parts at other places, so behind a flat's
/// last layer nobody may write before every rank has read.
constexpr Reach reach_of_update(Plan const& p, Instruction const& in) {
  int flats = 0;
  for (FlatInfo const& f : p.facts.flats) flats += f.matrices;
  bool const last = in.layer + 1 == p.facts.flats[std::size_t(in.flat)].layers;
  bool const leaves = in.op == Do::step && last && flats > 1;
  return p.steps_own_part() && !leaves ? Reach::own : Reach::whole;
}

}  // namespace detail

/// Calls f(Access) for every buffer the instruction touches.
template <class F>
constexpr void each_access(Plan const& p, Buffers const& b, Instruction const& in, F&& f) {
  if (in.op == Do::forward || in.op == Do::backward)
    return detail::accesses_of_compute(p, b, in, f);
  if (in.flat < 0) return;
  FlatInfo const& flat = p.facts.flats[std::size_t(in.flat)];
  int const layer = flat_layer(flat, in.layer);
  bool const slots = p.reduces_slots(), own = p.steps_own_part();
  int const weights = b.of(Buffers::weights, in.flat, layer);
  int const gradient = p.reuses_memory() && flat.tied
                           ? b.gradient_slot(flat, in.flat, 0)
                           : b.of(slots ? Buffers::shares : Buffers::gradients, in.flat, layer);
  switch (in.op) {
    case Do::gather:
      if (p.mesh.domains() == 1) break;  // the domain holds it whole already
      if (p.gathers_into_slots()) {
        f(Access{weights, Reach::own, false});
        f(Access{b.gathered(flat, in.flat, in.slot), Reach::own, true});
      } else {
        f(Access{weights, Reach::own, true});
      }
      break;
    case Do::reduce:
      f(Access{slots ? b.gradient_slot(flat, in.flat, in.gradient_slot) : gradient,
               Reach::each_mine, false});
      if (slots && p.layout.unordered)  // a sum to be added to the share, in the part's place
        f(Access{b.gradient_slot(flat, in.flat, in.gradient_slot), Reach::own, true});
      f(Access{gradient, Reach::own, true});
      break;
    case Do::gather_gradient:
      f(Access{gradient, Reach::each_theirs, false});
      f(Access{slots ? b.of(Buffers::whole_gradients, in.flat, layer) : gradient,
               slots ? Reach::whole : Reach::others, true});
      break;
    case Do::merge:
    case Do::merge_uses: f(Access{gradient, Reach::whole, true}); break;
    case Do::norm: f(Access{gradient, Reach::own, false}); break;
    case Do::gather_update:
      if (p.mesh.domains() > 1) f(Access{b.update(), Reach::own, true});
      break;
    case Do::orthogonalize:
      f(Access{b.update(), own ? Reach::assigned : Reach::whole, true});
      break;
    case Do::prepare:
    case Do::step: {
      bool const steps = in.op == Do::step, matrices = p.orthogonalizes(in.flat);
      bool const prepared = matrices || (p.layout.across == Across::sums && !p.runs(in.flat));
      if (!steps || !prepared) {
        if (slots && !own)
          f(Access{b.of(Buffers::whole_gradients, in.flat, layer), Reach::whole, false});
        else
          f(Access{gradient, own ? Reach::own : Reach::whole, false});
      }
      if (matrices) f(Access{b.update(), detail::reach_of_update(p, in), !steps});
      if (steps || !matrices) f(Access{weights, own ? Reach::own : Reach::whole, steps});
      break;
    }
    case Do::load:
    case Do::release:
    case Do::forward:
    case Do::backward:
    case Do::barrier:
    case Do::exchange:
    case Do::exchange_sums: break;
  }
}

}  // namespace tessera::inline TESSERA_SETTING
