/// Muon: matrices step along their orthogonalised momentum, everything else as in AdamW. Jordan et
/// al., kellerjordan.github.io/posts/muon, 2024; Liu et al., arXiv 2502.16982.
#pragma once

#include <tessera/kernels/muon.hpp>
#include <tessera/optimizer/adamw.hpp>

#include <algorithm>

namespace tessera::inline TESSERA_SETTING {

/// A matrix is a parameter of two dimensions that matrix products alone read; tables of embeddings
/// and positions, projections to the vocabulary and tied parameters are none. For each, with u its
/// momentum, Nesterov's unless Options::nesterov says otherwise,
///   w = w (1 - rate decay) - rate 0.2 sqrt(max(rows, cols)) orthogonal(u)
/// so that an element moves as far as AdamW would move it, and one rate fits both. Muon reads
/// Options::momentum, 0.95 if open; AdamW the betas and epsilon.
/// Bytes  4 per weight of a matrix in float, 8 per other weight; sharded from Zero<1> on. And the
///        update of the largest layer, whole: one for the ranks of a domain, or one each
struct Muon {
  static constexpr std::string_view name = "Muon";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 2;
  static constexpr std::array<std::string_view, 2> state_names{"exp_avg", "exp_avg_sq"};
  static constexpr std::array<std::string_view, 1> matrix_state_names{"momentum_buffer"};
  static constexpr StepValues defaults{.momentum = 0.95, .nesterov = true};
  static constexpr void set(Layout& layout) {
    layout.states = states;
    layout.matrix_states = 1;
    layout.across = Across::matrices;
  }

  /// Of matrices: momentum, and the update to orthogonalise.
  template <Team T, class Range = StepRange>
  static void prepare(T const& team, Range const& r, StepValues const& v) {
    team.run(kernel::MuonMomentum<Real>{.u = r.update,
                                        .m = r.states[0],
                                        .g = r.gradients,
                                        .n = r.elements,
                                        .momentum = v.momentum,
                                        .nesterov = v.nesterov,
                                        .gradient_scale = v.gradient_scale});
  }
  static double update_scale(std::int64_t rows, std::int64_t cols) {
    return 0.2 * std::sqrt(double(std::max(rows, cols)));
  }
  template <Team T, class Range = StepRange>
  static void step(T const& team, Range const& r, StepValues const& v) {
    if (!r.update) return AdamW::step(team, r, v);
    with_weights(r, [&]<class Weights>(Weights w) {
      team.run(kernel::MuonStep<Real, Weights>{
          .w = w, .u = r.update, .n = r.elements, .lr = v.rate, .decay = v.decay});
    });
  }
};
static_assert(Optimizer<Muon>);

}  // namespace tessera::inline TESSERA_SETTING
