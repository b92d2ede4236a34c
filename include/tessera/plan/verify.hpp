/// Proves a plan before it runs: every weight is there when it is read, every gradient is reduced
/// and stepped once, and no two ranks or streams touch the same bytes at once.
#pragma once

#include <tessera/plan/hazard.hpp>
#include <tessera/plan/plan.hpp>

#include <initializer_list>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

enum class Wrong : std::uint8_t {
  nothing,
  facts_disagree,       // layers of a flat and its segment, or a frozen flat with a gradient
  batch_not_loaded,     // a pass without its micro-batch, or one loaded out of turn
  forward_out_of_turn,  // missing, repeated, or before what it reads
  backward_out_of_turn,
  weights_not_gathered,
  weights_gathered_twice,
  release_without_gather,
  weights_not_released,
  gradient_not_complete,  // reduced or used before everybody contributed
  gradient_merged_twice,
  gradient_not_reduced,
  gradient_reduced_twice,
  gradient_not_gathered,
  norm_missing,
  norm_twice,
  exchange_missing,
  exchange_twice,
  not_prepared,  // stepped, or its sums exchanged, before the optimizer has made its states
  prepared_twice,
  update_overwritten,  // matrices' updates share a buffer: one layer's at a time
  update_not_gathered,
  update_gathered_twice,
  not_orthogonalized,
  orthogonalized_twice,
  sums_missing,
  sums_twice,
  step_missing,
  step_twice,
  step_not_published,  // other ranks never see the stepped part
  ranks_race,          // two ranks of a domain, without a barrier between
  stream_of_another,   // a row is not on the stream of its kind
  streams_race         // two streams of a rank, without a wait between
};

struct Fault {
  Wrong what = Wrong::nothing;
  int row = -1, segment = -1, flat = -1, layer = 0, micro = 0;
  constexpr explicit operator bool() const { return what != Wrong::nothing; }
};

namespace detail {

class Structure {
 public:
  constexpr explicit Structure(Plan const& p) : p_(p) {
    for (SegmentInfo const& s : p.facts.segments) {
      first_pass_.push_back(int(passes_.size()));
      passes_.resize(passes_.size() + std::size_t(s.layers));
    }
    for (FlatInfo const& f : p.facts.flats) {
      first_flat_.push_back(int(flats_.size()));
      flats_.resize(flats_.size() + std::size_t(f.layers));
    }
    held_.assign(std::size_t(2 * p.flats()), -1);
  }

  constexpr Wrong check_facts() const {
    if (p_.facts.segments.back().layers != 1) return Wrong::facts_disagree;
    for (SegmentInfo const& s : p_.facts.segments)
      for (FlatUse const& u : s.flats) {
        if (u.flat < 0) continue;
        FlatInfo const& f = p_.facts.flats[std::size_t(u.flat)];
        if (f.layers != (f.tied ? 1 : s.layers) || (u.gradient && !f.trainable))
          return Wrong::facts_disagree;
      }
    return Wrong::nothing;
  }

  constexpr Wrong see(Instruction const& in) {
    if (p_.rows[std::size_t(in.row)].stream != stream_of(in.op)) return Wrong::stream_of_another;
    switch (in.op) {
      case Do::load: return loads_++ == in.micro ? Wrong::nothing : Wrong::batch_not_loaded;
      case Do::forward: return forward(in);
      case Do::backward: return backward(in);
      case Do::gather: return in.pass == Pass::update ? publish(in) : gather(in);
      case Do::release: {
        int& held = slot(in.flat, in.slot);
        if (held != layer_in(in)) return Wrong::release_without_gather;
        held = -1;
        return Wrong::nothing;
      }
      case Do::reduce: return reduce(in);
      case Do::gather_gradient:
        if (!reduced(in.flat, in.layer)) return Wrong::gradient_not_reduced;
        return of(in).gathered++ == 0 ? Wrong::nothing : Wrong::gradient_reduced_twice;
      case Do::norm:
        if (!reduced(in.flat, in.layer)) return Wrong::gradient_not_reduced;
        return of(in).norms++ == 0 ? Wrong::nothing : Wrong::norm_twice;
      case Do::exchange:
        for (int f = 0; f < p_.flats() && p_.kind == Kind::train; ++f)
          for (int l = 0; l < p_.facts.flats[std::size_t(f)].layers; ++l)
            if (at(f, l).norms != trainable(f)) return Wrong::norm_missing;
        return exchanges_++ == 0 ? Wrong::nothing : Wrong::exchange_twice;
      case Do::prepare:
        if (Wrong const w = updates(in); w != Wrong::nothing) return w;
        if (of(in).prepares++ > 0) return Wrong::prepared_twice;
        if (!p_.orthogonalizes(in.flat)) return Wrong::nothing;
        return std::exchange(updating_, true) ? Wrong::update_overwritten : Wrong::nothing;
      case Do::gather_update:
        if (of(in).prepares == 0) return Wrong::not_prepared;
        return of(in).updates++ == 0 ? Wrong::nothing : Wrong::update_gathered_twice;
      case Do::orthogonalize:
        if (of(in).prepares == 0) return Wrong::not_prepared;
        if (p_.steps_own_part() && of(in).updates == 0) return Wrong::update_not_gathered;
        return of(in).orthogonal++ == 0 ? Wrong::nothing : Wrong::orthogonalized_twice;
      case Do::exchange_sums:
        for (int f = 0; f < p_.flats(); ++f)
          for (int l = 0; l < p_.facts.flats[std::size_t(f)].layers; ++l)
            if (at(f, l).prepares != trainable(f)) return Wrong::not_prepared;
        return sums_++ == 0 ? Wrong::nothing : Wrong::sums_twice;
      case Do::step:
        if (Wrong const w = updates(in); w != Wrong::nothing) return w;
        if (p_.layout.across == Across::sums && of(in).prepares == 0) return Wrong::not_prepared;
        if (p_.orthogonalizes(in.flat)) {
          if (of(in).orthogonal == 0) return Wrong::not_orthogonalized;
          updating_ = false;
        }
        if (p_.exchanges_sums() && sums_ == 0) return Wrong::sums_missing;
        return of(in).steps++ == 0 ? Wrong::nothing : Wrong::step_twice;
      case Do::merge: return merge(in);
      case Do::merge_uses:
        if (!merged(in.flat, in.layer)) return Wrong::gradient_not_complete;
        return of(in).joins++ == 0 ? Wrong::nothing : Wrong::gradient_merged_twice;
      case Do::barrier: return Wrong::nothing;
    }
    return Wrong::nothing;
  }

  /// What is still missing at the end of the step.
  constexpr Fault end() const {
    bool const train = p_.kind == Kind::train;
    int const trained = first_trained(p_.facts);
    if (loads_ != p_.micros) return {Wrong::batch_not_loaded};
    for (int s = 0; s < p_.segments(); ++s)
      for (int l = 0; l < p_.facts.segments[std::size_t(s)].layers; ++l) {
        Passes const& n = passes_[std::size_t(first_pass_[std::size_t(s)] + l)];
        if (n.forward != p_.micros) return {Wrong::forward_out_of_turn, -1, s, -1, l};
        if (n.backward != (train && s >= trained ? p_.micros : 0))
          return {Wrong::backward_out_of_turn, -1, s, -1, l};
      }
    for (int held : held_)
      if (held >= 0) return {Wrong::weights_not_released};
    if (exchanges_ == 0) return {Wrong::exchange_missing};
    bool const publishes = p_.sharded() && (p_.layout.zero == 1 || p_.layout.zero == 2);
    for (int f = 0; f < p_.flats() && train; ++f)
      for (int l = 0; l < p_.facts.flats[std::size_t(f)].layers; ++l) {
        if (at(f, l).steps != trainable(f)) return {Wrong::step_missing, -1, -1, f, l};
        if (publishes && at(f, l).published != trainable(f))
          return {Wrong::step_not_published, -1, -1, f, l};
      }
    return {};
  }

 private:
  struct Passes {
    int forward = 0, backward = 0;
  };
  struct Flat {
    int contributions = 0, reduces = 0, gathered = 0, norms = 0, prepares = 0, steps = 0;
    int published = 0, updates = 0, orthogonal = 0;
    int merges = 0, joins = 0;  // under Strict
  };

  constexpr Flat& of(Instruction const& in) { return at(in.flat, in.layer); }
  constexpr Flat& at(int flat, int layer) {
    return flats_[std::size_t(first_flat_[std::size_t(flat)] +
                              flat_layer(p_.facts.flats[std::size_t(flat)], layer))];
  }
  constexpr Flat const& at(int flat, int layer) const {
    return flats_[std::size_t(first_flat_[std::size_t(flat)] +
                              flat_layer(p_.facts.flats[std::size_t(flat)], layer))];
  }
  constexpr int trainable(int flat) const { return p_.facts.flats[std::size_t(flat)].trainable; }
  constexpr int layer_in(Instruction const& in) const {
    return flat_layer(p_.facts.flats[std::size_t(in.flat)], in.layer);
  }
  constexpr int& slot(int flat, int slot) {
    return held_[std::size_t(2 * flat + (p_.facts.flats[std::size_t(flat)].tied ? 0 : slot))];
  }

  /// Everything that the micro-batches of one reduction contribute.
  constexpr int expected(int flat) const {
    return contributors(p_.facts, flat).count * (p_.reduces_slots() ? 1 : p_.micros);
  }
  /// Has every sum over samples that a step needs been made?
  constexpr bool merged(int flat, int layer) const {
    bool const tree = p_.layout.strict > 0 && p_.tree().leaves > 1;
    return at(flat, layer).merges == (tree ? contributors(p_.facts, flat).segments * p_.micros : 0);
  }
  constexpr bool complete(int flat, int layer) const {
    Flat const& f = at(flat, layer);
    bool const joins = !p_.sharded() && p_.uses(flat) > 1;
    return f.contributions == expected(flat) && merged(flat, layer) && f.joins == int(joins);
  }
  /// Once per segment and micro-batch, behind all that the segment contributes.
  constexpr Wrong merge(Instruction const& in) {
    Flat& f = of(in);
    Contributors const c = contributors(p_.facts, in.flat);
    int merges = c.segments * in.micro, contributions = c.count * in.micro;
    for (int s = in.segment; s < p_.segments(); ++s)
      for (FlatUse const& u : p_.facts.segments[std::size_t(s)].flats)
        if (u.flat == in.flat && u.gradient) {
          bool const shared = p_.facts.flats[std::size_t(u.flat)].layers == 1;
          ++merges, contributions += shared ? p_.facts.segments[std::size_t(s)].layers : 1;
        }
    if (f.contributions != contributions) return Wrong::gradient_not_complete;
    return ++f.merges == merges ? Wrong::nothing : Wrong::gradient_merged_twice;
  }
  constexpr bool reduced(int flat, int layer) const {
    Flat const& f = at(flat, layer);
    if (!p_.sharded()) return complete(flat, layer);
    return f.reduces == (p_.mode == Reduction::micro ? p_.micros : 1);
  }
  constexpr Wrong reads(Instruction const& in) {
    if (p_.layout.zero < 3 || !p_.sharded()) return Wrong::nothing;
    for (FlatUse const& u : p_.facts.segments[std::size_t(in.segment)].flats)
      if (u.flat >= 0 && (in.op == Do::forward ? u.forward : u.backward) &&
          slot(u.flat, in.slot) != flat_layer(p_.facts.flats[std::size_t(u.flat)], in.layer))
        return Wrong::weights_not_gathered;
    return Wrong::nothing;
  }
  constexpr Wrong forward(Instruction const& in) {
    if (loads_ != in.micro + 1) return Wrong::batch_not_loaded;
    int const i = first_pass_[std::size_t(in.segment)] + in.layer;
    if (++passes_[std::size_t(i)].forward != in.micro + 1) return Wrong::forward_out_of_turn;
    if (i > 0 && passes_[std::size_t(i - 1)].forward != in.micro + 1)
      return Wrong::forward_out_of_turn;
    return reads(in);
  }
  constexpr Wrong backward(Instruction const& in) {
    int const i = first_pass_[std::size_t(in.segment)] + in.layer;
    Passes& here = passes_[std::size_t(i)];
    if (++here.backward != in.micro + 1 || here.forward != in.micro + 1)
      return Wrong::backward_out_of_turn;
    if (i + 1 < int(passes_.size()) && passes_[std::size_t(i + 1)].backward != in.micro + 1)
      return Wrong::backward_out_of_turn;
    for (FlatUse const& u : p_.facts.segments[std::size_t(in.segment)].flats)
      if (u.flat >= 0 && u.gradient) ++at(u.flat, in.layer).contributions;
    return reads(in);
  }
  constexpr Wrong gather(Instruction const& in) {
    int& held = slot(in.flat, in.slot);
    if (held >= 0) return Wrong::weights_gathered_twice;
    held = layer_in(in);
    return Wrong::nothing;
  }
  /// The optimizer needs the scale that the exchange gives, and the gradient of what it steps.
  constexpr Wrong updates(Instruction const& in) {
    if (exchanges_ == 0) return Wrong::exchange_missing;
    bool const whole = p_.sharded() && p_.layout.zero == 0;
    return whole && of(in).gathered == 0 ? Wrong::gradient_not_gathered : Wrong::nothing;
  }
  constexpr Wrong publish(Instruction const& in) {
    if (of(in).steps == 0) return Wrong::step_missing;
    return of(in).published++ == 0 ? Wrong::nothing : Wrong::weights_gathered_twice;
  }
  constexpr Wrong reduce(Instruction const& in) {
    if (reduced(in.flat, in.layer)) return Wrong::gradient_reduced_twice;
    if (!complete(in.flat, in.layer)) return Wrong::gradient_not_complete;
    of(in).contributions = 0;
    ++of(in).reduces;
    return Wrong::nothing;
  }

  Plan const& p_;
  std::vector<int> first_pass_{}, first_flat_{};
  std::vector<Passes> passes_{};
  std::vector<Flat> flats_{};
  std::vector<int> held_{};  // layer of a flat that each of its two slots holds
  int loads_ = 0, exchanges_ = 0, sums_ = 0;
  bool updating_ = false;  // the buffer of updates is in use
};

constexpr Fault at(Wrong what, Instruction const& in) {
  return {what, in.row, in.segment, in.flat, in.layer, in.micro};
}

constexpr Fault verify_structure(Plan const& p) {
  Structure structure(p);
  Fault fault{.what = structure.check_facts()};
  if (fault) return fault;
  each_instruction(p, [&](Instruction const& in) {
    if (fault) return;
    if (Wrong const w = structure.see(in); w != Wrong::nothing) fault = at(w, in);
  });
  return fault ? fault : structure.end();
}

}  // namespace detail

/// Plans over the same state, one step of each in this order: do ranks or streams race?
constexpr Fault verify_order(std::initializer_list<Plan const*> plans) {
  Plan const& any = **plans.begin();
  if (!any.sharded()) return {};
  Hazards watch(any);
  Fault fault;
  Plan const* before = nullptr;
  for (Plan const* p : plans) {
    watch.start();
    int crossed = 0;
    each_instruction(*p, [&](Instruction const& in) {
      if (fault || (p == before && crossed == 2)) return;  // behind two barriers a step repeats
      crossed += in.op == Do::barrier;
      watch.enter(in.turn);
      Row const& row = p->rows[std::size_t(in.row)];
      watch.look(*p, in);
      if (watch.races()) fault = detail::at(Wrong::ranks_race, in);
      if (watch.missing(row.stream, row.wait) != Waits{})
        fault = detail::at(Wrong::streams_race, in);
      watch.issue(row.stream, row.wait);
    });
    watch.look_at_end();
    if (!fault && watch.races()) fault.what = Wrong::ranks_race;
    before = p;
  }
  return fault;
}

/// At run time in full depth; in a constant expression a shortened plan stands for it, so that any
/// depth stays within the limits of compilers.
constexpr Fault verify(Plan const& plan) {
  auto const prove = [](Plan const& p) {
    Fault const fault = detail::verify_structure(p);
    return fault ? fault : verify_order({&p, &p});
  };
  return std::is_constant_evaluated() ? prove(shortened(plan)) : prove(plan);
}

}  // namespace tessera::inline TESSERA_SETTING
