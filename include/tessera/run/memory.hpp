/// The buffers of a plan as addresses on a rank's device.
#pragma once

#include <tessera/device/device.hpp>
#include <tessera/run/world.hpp>

namespace tessera::inline TESSERA_SETTING {

class Memory {
 public:
  Memory(World const& world, Plan const& plan, Device& device)
      : plan_(plan), place_(plan), device_(device), local_(world.rank() % plan.mesh.domain) {}

  Plan const& plan() const { return plan_; }
  Placement const& place() const { return place_; }
  Device& device() { return device_; }

  /// Start of a buffer; k: whose, for buffers that every rank of the domain has in the window.
  std::byte* at(Family f, int k) { return device_.base(place_.of(f).arena) + place_.start(f, k); }
  std::byte* at(Family f) { return at(f, local_); }

  /// The weights that this rank keeps of a flat's layer, in the plan's storage type.
  std::byte* weights(int flat, int layer) {
    return at(Family::weights) + place_.flat(Family::weights, flat, layer);
  }
  /// What makes 16-bit weights exact, by element of what this rank steps; null if they are real.
  std::byte* master(int flat, int layer) {
    if (plan_.master(flat) == 0 || !plan_.facts.flats[std::size_t(flat)].trainable) return nullptr;
    return at(Family::optimizer) + place_.state(flat, layer, plan_.states(flat));
  }
  /// A flat's layer in a family of gradients.
  Real* flat(Family f, int flat, int layer, int k) {
    return reinterpret_cast<Real*>(at(f, k) + place_.flat(f, flat, layer));
  }
  Real* flat(Family f, int flat, int layer) { return this->flat(f, flat, layer, local_); }
  /// In the plan's type of states.
  std::byte* state(int flat, int layer, int state) {
    return at(Family::optimizer) + place_.state(flat, layer, state);
  }
  /// Weights that a turn reads: where they always are, or in the slot that a gather has filled.
  std::byte* readable(Instruction const& in, int flat) {
    if (plan_.gathers_into_slots())
      return at(Family::gathered) + place_.gathered(in.segment, flat, in.slot);
    return weights(flat, in.layer);
  }
  /// Where a turn's backward puts a flat's gradient, at the domain's k-th rank.
  Real* gradient(Instruction const& in, int flat, int k) {
    if (plan_.reduces_slots())
      return reinterpret_cast<Real*>(at(Family::gradient_slots, k) +
                                     place_.gradient_slot(in.segment, flat, in.gradient_slot));
    if (plan_.layout.strict == 0 || in.segment < 0)
      return this->flat(Family::gradients, flat, in.layer, k);
    return accumulator(flat, in.layer, plan_.use(in.segment, flat),
                       plan_.tree().accumulator(in.micro));
  }
  /// Where a use of a flat is summed over samples, of the domain's k-th rank: number 0 has all of
  /// them in the end.
  Real* use_gradient(int flat, int layer, int use, int k) {
    if (use == 0) return this->flat(Family::gradients, flat, layer, k);
    return reinterpret_cast<Real*>(at(Family::use_gradients, k) + place_.use_gradient(flat, use));
  }
  Real* accumulator(int flat, int layer, int use, int number) {
    if (number == 0) return use_gradient(flat, layer, use, local_);
    return reinterpret_cast<Real*>(at(Family::partial_gradients) +
                                   place_.partial(flat, layer, use, number));
  }
  Real* gradient(Instruction const& in, int flat) { return gradient(in, flat, local_); }
  Real* use_gradient(int flat, int layer, int use) {
    return use_gradient(flat, layer, use, local_);
  }
  /// This rank's reduced part of a flat's layer, or the whole where one rank has all.
  Real* reduced(int flat, int layer, int rank) {
    std::int64_t const before = rank * plan_.part_elements(flat);
    if (plan_.reuses_memory()) {
      if (!plan_.facts.flats[std::size_t(flat)].tied)
        return reinterpret_cast<Real*>(at(Family::forward) + place_.share_in_forward(flat, layer));
      return reinterpret_cast<Real*>(at(Family::gradient_slots) +
                                     place_.gradient_slot(0, flat, 0)) +
             before;
    }
    if (plan_.reduces_slots()) return this->flat(Family::gradient_shares, flat, layer);
    return this->flat(Family::gradients, flat, layer) + before;
  }
  /// The whole reduced gradient, where Zero<0> or a single rank steps everything.
  Real* whole_gradient(int flat, int layer) {
    return this->flat(plan_.reduces_slots() ? Family::whole_gradients : Family::gradients, flat,
                      layer);
  }
  /// Of a micro-batch; as many have room as a step has.
  Real* losses(int micro) {
    Real* const first = reinterpret_cast<Real*>(at(Family::losses));
    return first + micro % plan_.micros * plan_.facts.losses();
  }
  StepSums* sums_of_step(int rank) {
    return reinterpret_cast<StepSums*>(at(Family::norms) + place_.norms(rank));
  }
  /// Of the layer of matrices whose turn it is, whole.
  Real* update() { return reinterpret_cast<Real*>(at(Family::update)); }
  /// A rank's sums over its parts of tensors, two for each; behind the last rank's, those of all.
  double* sums(int rank) { return reinterpret_cast<double*>(at(Family::sums) + place_.sums(rank)); }

 private:
  Plan plan_;
  Placement place_;
  Device& device_;
  int local_;
};

}  // namespace tessera::inline TESSERA_SETTING
