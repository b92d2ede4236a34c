/// What the engine sees of an optimizer: its states and one pass over a range of a flat buffer.
#pragma once

#include <tessera/core/setting.hpp>

#include <array>
#include <cstdint>
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
  std::int64_t step = 1;  // counts from 1
};

/// One contiguous range: weights, gradients and states start at its first element.
struct StepRange {
  Real* weights = nullptr;
  Real const* gradients = nullptr;
  std::array<Real*, most_states> states{};
  std::int64_t elements = 0;
};

struct OptimizerTable {
  std::string_view name{};
  std::span<std::string_view const> states{};  // their names; each one Real per weight
  void (*step)(StepRange const&, StepValues const&) = nullptr;
};

}  // namespace tessera::inline TESSERA_SETTING
