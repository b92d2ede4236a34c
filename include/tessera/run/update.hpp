/// The optimizer at work on what a rank steps of a flat's layer.
#pragma once

#include <tessera/core/function_ref.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/run/groups.hpp>
#include <tessera/run/memory.hpp>

namespace tessera::inline TESSERA_SETTING {

class Update {
 public:
  Update(int rank, Memory& memory, OptimizerTable const& optimizer, Groups const& groups)
      : rank_(rank), memory_(memory), optimizer_(optimizer), groups_(groups) {
    for (MatrixInfo const& m : memory.plan().facts.matrices)
      if (!find(m)) shapes_.push_back({m.rows, m.cols, optimizer.orthogonalizer(m.rows, m.cols)});
  }

  /// Sums are over parts of tensors, as ranks own them, also where this rank steps all of them: in
  /// every layout the same terms are added in the same order.
  void prepare(Plan const& p, Instruction const& in, StepValues const& values) {
    if (p.runs(in.flat)) return;
    if (p.orthogonalizes(in.flat))
      return each(p, in, values, stepped(p, in.flat),
                  [&](StepRange& range, StepValues const& v, int) {
                    optimizer_.prepare(memory_.device().queue(), range, v);
                  });
    bool const own = p.steps_own_part();
    std::int64_t const part = p.part_elements(in.flat);
    for (int k = own ? rank_ : 0; k < (own ? rank_ + 1 : p.mesh.data); ++k)
      each(p, in, values, {k * part, (k + 1) * part},
           [&](StepRange& range, StepValues const& v, int tensor) {
             range.sums = memory_.sums(k) + 2 * (sum_entry(p, in.flat, in.layer) + tensor);
             optimizer_.prepare(memory_.device().queue(), range, v);
           });
  }

  /// The matrices of a layer that are this rank's to do.
  void orthogonalize(Plan const& p, Instruction const& in) {
    int const ranks = orthogonalizers(p);
    for (int m = 0; m < int(p.facts.matrices.size()); ++m) {
      MatrixInfo const& x = p.facts.matrices[std::size_t(m)];
      if (x.flat != in.flat || orthogonalizer(p.facts, m, ranks) != rank_ % ranks) continue;
      double const scale = optimizer_.update_scale ? optimizer_.update_scale(x.rows, x.cols) : 1;
      find(x)->run(memory_.device().queue(), memory_.update() + x.offset, scale,
                   memory_.at(Family::workspace));
    }
  }

  void step(Plan const& p, Instruction const& in, StepValues const& values) {
    if (p.runs(in.flat)) return add_changes(p, in);
    double* const sums = p.layout.across == Across::sums ? add_sums(p, in) : nullptr;
    each(p, in, values, stepped(p, in.flat),
         [&](StepRange& range, StepValues const& v, int tensor) {
           if (sums) range.sums = sums + 2 * tensor;
           optimizer_.step(memory_.device().queue(), range, v);
         });
  }

 private:
  /// The mean of what every micro-batch and rank says: they have been added in a fixed order.
  void add_changes(Plan const& p, Instruction const& in) {
    double const share = 1.0 / (double(p.micros) * p.mesh.data);
    each(p, in, {}, stepped(p, in.flat), [&](StepRange& range, StepValues const&, int) {
      memory_.device().add_change(static_cast<Real*>(range.weights), range.gradients,
                                  range.elements, share);
    });
  }

  /// Of each tensor of a layer, two: those of all ranks' parts, in rank order.
  double* add_sums(Plan const& p, Instruction const& in) {
    std::int64_t const first = 2 * sum_entry(p, in.flat, in.layer),
                       count = 2 * p.facts.flats[std::size_t(in.flat)].tensors;
    double* const all = memory_.sums(p.mesh.data) + first;
    memory_.device().add_rows(all, count, memory_.sums(0) + first, p.mesh.data,
                              tensor_sums(p.facts) / Bytes(sizeof(double)));
    return all;
  }

  struct Elements {
    std::int64_t begin = 0, end = 0;
  };

  /// What this rank steps: its part, or everything.
  Elements stepped(Plan const& p, int flat) const {
    std::int64_t const part = p.part_elements(flat);
    if (p.steps_own_part()) return {rank_ * part, (rank_ + 1) * part};
    return {0, p.whole_elements(flat)};
  }

  /// f(range, values, index): what of `wanted` lies in each interval of the layer's groups.
  void each(Plan const& p, Instruction const& in, StepValues const& values, Elements wanted,
            FunctionRef<void(StepRange&, StepValues const&, int)> f) {
    bool const own = p.steps_own_part();
    // Element e of the layer is at e - base of each buffer.
    std::int64_t const base = stepped(p, in.flat).begin;
    std::byte* const weights = memory_.weights(in.flat, in.layer);
    std::byte* const master = memory_.master(in.flat, in.layer);
    std::int64_t const weight_base = p.gathers_into_slots() ? base : 0;
    Real const* const gradient =
        own ? memory_.reduced(in.flat, in.layer, rank_) : memory_.whole_gradient(in.flat, in.layer);
    int index = -1;
    for (Interval const& i : groups_.of(in.flat, in.layer)) {
      ++index;
      std::int64_t const from = std::max(wanted.begin, i.begin), to = std::min(wanted.end, i.end);
      if (from >= to) continue;
      RandomKey noise;
      noise.seed = values.seed, noise.stream = i.stream;
      StepRange range{.low = p.stored(in.flat),
                      .weights = weights + (from - weight_base) * p.weight(in.flat),
                      .master = master ? master + (from - base) * p.master(in.flat) : nullptr,
                      .stochastic = p.layout.stochastic && !p.in_full(in.flat),
                      .gradients = gradient + (from - base),
                      .noise = {noise.at(std::uint64_t(values.step)), from - i.begin},
                      .elements = to - from,
                      .scratch = scratch(p)};
      for (int s = 0; s < p.states(in.flat); ++s)
        set_state(range, s, memory_.state(in.flat, in.layer, s), from - base);
      if (p.orthogonalizes(in.flat)) range.update = memory_.update() + from;
      StepValues v = values;
      v.rate *= i.rate, v.decay = i.decay;
      f(range, v, index);
    }
  }
  static void set_state(StepRange& range, int s, std::byte* at, std::int64_t from) {
    if (range.stochastic)
      range.rounded_states[std::size_t(s)] = reinterpret_cast<bf16*>(at) + from;
    else
      range.states[std::size_t(s)] = reinterpret_cast<Real*>(at) + from;
  }
  Orthogonalizer const* find(MatrixInfo const& m) const {
    for (Shaped const& s : shapes_)
      if (s.rows == m.rows && s.cols == m.cols) return s.orthogonalizer.get();
    return nullptr;
  }
  std::span<double> scratch(Plan const& p) {
    return {reinterpret_cast<double*>(memory_.at(Family::workspace)),
            std::size_t(p.facts.workspace) / sizeof(double)};
  }

  struct Shaped {
    std::int64_t rows, cols;
    std::unique_ptr<Orthogonalizer> orthogonalizer;
  };

  int rank_;
  Memory& memory_;
  OptimizerTable optimizer_;
  Groups const& groups_;
  std::vector<Shaped> shapes_;  // of matrices, each once
};

}  // namespace tessera::inline TESSERA_SETTING
