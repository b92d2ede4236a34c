/// The policies as one value: what they fold into and what planners read.
#pragma once

#include <tessera/core/dtype.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// When gradients cross the data axis: once per step, or after every micro-batch.
enum class Reduction : std::uint8_t { automatic, step, micro };
inline constexpr Reduction Step = Reduction::step;
inline constexpr Reduction Micro = Reduction::micro;

/// What stepping an element takes from the rest of its tensor: sums of squares; of a matrix, all.
enum class Across : std::uint8_t { nothing, sums, matrices };

inline constexpr int most_frozen = 8, most_full = 8;

struct Layout {
  int sequences = 0, tokens = 0;  // of one micro-batch; samples and 0, if they are not text
  int accumulate = 1;             // micro-batches per step
  std::int64_t global_batch = 0;  // sequences per step over all ranks; 0: accumulate counts
  int zero = 0;
  Reduction reduce = Reduction::automatic;
  int strict = 0;  // samples of a leaf of the tree that sums gradients; 0: no tree
  bool clip = false;
  bool gpu = false;                 // where it runs: on a GPU, or on cores
  bool graphs = false;              // passes are captured once and replayed
  bool unordered = false;           // NCCL sums gradients, in an order of its own
  DType low = DType::real;          // what weights and activations are stored in
  bool stochastic = false;          // weights and states are rounded to it at random
  Bytes real = sizeof(Real);        // of a gradient
  int states = 0;                   // optimizer states per weight
  Across across = Across::nothing;  // of the optimizer
  int matrix_states = 0;            // per weight of its matrices, in place of states
  Bytes product_workspace = 0;      // of its matrix products on the backend; Trainer sets it
  std::array<std::string_view, most_frozen> frozen{};
  int frozen_count = 0;
  std::array<std::string_view, most_full> full{};  // patterns of what stays real
  int full_count = 0;

  constexpr Bytes weight() const { return size_of(low); }
  constexpr Bytes master() const { return stochastic ? 0 : master_of(low); }
  constexpr DType state_type() const { return stochastic ? low : DType::real; }
  constexpr Bytes state() const { return stochastic ? size_of(low) : real; }
  /// Are tensors stepped one by one? Their sums are, or what is drawn is keyed by their paths.
  constexpr bool by_tensor() const { return across != Across::nothing || stochastic; }
  constexpr std::span<std::string_view const> frozen_patterns() const {
    return {frozen.data(), std::size_t(frozen_count)};
  }
  constexpr std::span<std::string_view const> full_patterns() const {
    return {full.data(), std::size_t(full_count)};
  }
  /// Whole gradients cost memory but cross once; shares of Zero<2> and up only pay per micro-batch.
  constexpr Reduction reduction() const {
    if (reduce != Reduction::automatic) return reduce;
    if (strict > 0) return Reduction::step;
    return zero >= 2 ? Reduction::micro : Reduction::step;
  }
};

/// Micro-batches per step on `data` ranks. 0: the global batch does not divide into them.
constexpr int micros_of(Layout const& layout, int data) {
  if (layout.global_batch == 0) return layout.accumulate;
  std::int64_t const turn = std::int64_t(layout.sequences) * data;
  return layout.global_batch % turn == 0 ? int(layout.global_batch / turn) : 0;
}

}  // namespace tessera::inline TESSERA_SETTING
