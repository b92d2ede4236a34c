/// What the engine sees of an optimizer: its states and its passes over a range of a flat buffer.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/kernels/weights.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

inline constexpr int most_states = 4;

/// Numbers of one step; rate and decay are those of the parameter group.
struct StepValues {
  double rate = 0;            // learning rate of this step
  double decay = 0;           // weight decay
  double gradient_scale = 1;  // clipping
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double momentum = 0;
  bool nesterov = false;
  double trust_least = 0.01, trust_most = 10;  // bounds of Lamb's ratio
  std::int64_t step = 1;                       // counts from 1
  std::uint64_t seed = 0;                      // of what is drawn
};

/// One contiguous range: weights, gradients and states start at its first element. Of an optimizer
/// that works across tensors it lies within one, and `prepare` sees it before `step` does. What it
/// points to is the device's: kernels of the team read and write it, the host does not.
struct StepRange {
  DType low = DType::real;  // what weights are stored in
  void* weights = nullptr;
  void* master = nullptr;   // of bf16 weights their remainders, of fp16 ones the exact floats
  bool stochastic = false;  // bf16 weights have nothing beside them, and states are bf16, too
  Real const* gradients = nullptr;
  std::array<Real*, most_states> states{};
  std::array<bf16*, most_states> rounded_states{};  // in their place if stochastic
  kernel::Noise noise{};                            // what weights and states are rounded with
  std::int64_t elements = 0;
  /// Across::sums: of squares of the weights, and of the update. prepare sets the range's two, step
  /// sees the tensor's.
  double* sums = nullptr;
  std::span<double> scratch{};  // of prepare
  Real* update = nullptr;       // of matrices: prepare makes it, step sees what was orthogonalised

  /// Can weights be stored so? StoredRange knows more.
  static constexpr bool may_store(DType type, bool) {
    return type == DType::real || sizeof(Real) == 4;
  }

  StepRange from(std::int64_t first, std::int64_t count) const {
    StepRange r = *this;
    r.weights = static_cast<std::byte*>(weights) + first * size_of(low);
    if (master) r.master = static_cast<std::byte*>(master) + first * master_of(low);
    r.gradients += first;
    for (Real*& s : r.states)
      if (s) s += first;
    for (bf16*& s : r.rounded_states)
      if (s) s += first;
    r.noise = noise.from(first);
    if (update) r.update += first;
    r.elements = count;
    return r;
  }

  /// State k as a kernel with such weights sees it.
  template <class Weights>
  kernel::StateOf<Real, Weights> state(int k) const {
    if constexpr (std::is_same_v<Weights, kernel::Rounded>)
      return {rounded_states[std::size_t(k)]};
    else
      return {states[std::size_t(k)]};
  }
};

/// A range of a trainer that stores weights in Low, or keeps them in real: no code is made for
/// other types.
template <DType Low, bool Stochastic>
struct StoredRange : StepRange {
  static constexpr bool may_store(DType type, bool stochastic) {
    return type == DType::real || (type == Low && stochastic == Stochastic);
  }
  StoredRange from(std::int64_t first, std::int64_t count) const {
    return {StepRange::from(first, count)};
  }
};

/// f(weights) with weights as kernels see them: kernel::Plain, kernel::Split or kernel::Master.
template <class Range, class F>
void with_weights(Range const& r, F const& f) {
  if constexpr (Range::may_store(DType::bf16, false))
    if (r.low == DType::bf16)
      return f(kernel::Split{static_cast<bf16*>(r.weights), static_cast<std::int16_t*>(r.master)});
  if constexpr (Range::may_store(DType::fp16, false))
    if (r.low == DType::fp16)
      return f(kernel::Master{static_cast<fp16*>(r.weights), static_cast<float*>(r.master)});
  f(kernel::Plain<Real>(static_cast<Real*>(r.weights)));
}

/// The same for an optimizer that says `rounds_stochastically`: also kernel::Rounded, with states
/// that range.state<Weights>(k) knows.
template <class Range, class F>
void with_any_weights(Range const& r, F const& f) {
  if constexpr (Range::may_store(DType::bf16, true))
    if (r.stochastic) return f(kernel::Rounded{static_cast<bf16*>(r.weights), r.noise});
  with_weights(r, f);
}

/// Makes matrices of one shape orthogonal, by products that are planned once.
class Orthogonalizer {
 public:
  Orthogonalizer() = default;
  Orthogonalizer(Orthogonalizer const&) = delete;
  Orthogonalizer& operator=(Orthogonalizer const&) = delete;
  virtual ~Orthogonalizer() = default;
  /// x = scale orthogonal(x) in place, behind what the stream has to do. workspace: what products
  /// may use, Layout::product_workspace, then orthogonal_workspace(...) bytes.
  virtual void run(void* queue, Real* x, double scale, std::byte* workspace) const = 0;
};

struct OptimizerTable {
  std::string_view name{};
  std::span<std::string_view const> states{};  // their names; each one number per weight
  void (*step)(void* queue, StepRange const&, StepValues const&) = nullptr;
  StepValues defaults{};  // its betas and epsilon where the options leave them open
  // Null: it takes nothing across tensors.
  void (*prepare)(void* queue, StepRange const&, StepValues const&) = nullptr;
  std::span<std::string_view const> matrix_states{};  // of what it orthogonalises, in their place
  double (*update_scale)(std::int64_t rows,
                         std::int64_t cols) = nullptr;  // of an orthogonal update
  std::unique_ptr<Orthogonalizer> (*orthogonalizer)(std::int64_t rows,
                                                    std::int64_t cols) = nullptr;  // of matrices
};

}  // namespace tessera::inline TESSERA_SETTING
