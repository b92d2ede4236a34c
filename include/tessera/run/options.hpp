/// Settings of a run that do not change its plan.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/optimizer/schedule.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// Parameters whose path matches get other values; later groups win. '*' stands for any characters.
struct Group {
  std::string pattern;
  double rate = 1;  // multiplies the learning rate
  std::optional<double> weight_decay{};
};

/// With Precision<fp16>, in DeepSpeed's words: what the loss's gradient is multiplied with, so that
/// small gradients do not vanish in fp16. run/loss_scale.hpp says how it follows overflows.
struct LossScale {
  double loss_scale = 0;                  // > 0: this one always; 0: dynamic
  int initial_scale_power = 16;           // the first scale is 2 to this power
  std::int64_t loss_scale_window = 1000;  // steps without an overflow until it doubles
  int hysteresis = 2;                     // overflows until it halves
  bool consecutive_hysteresis = false;    // counted anew after every step without one
  double min_loss_scale = 1;              // an overflow that would need less ends the run
  bool operator==(LossScale const&) const = default;
};

struct Options {
  double learning_rate = 3e-4;                        // the schedule's largest
  Schedule schedule{};                                // constant
  std::optional<double> beta1{}, beta2{}, epsilon{};  // by default what the optimizer's source has
  std::optional<double> momentum{};                   // of Sgd, 0 if open, and of Muon
  std::optional<bool> nesterov{};              // of Sgd and Muon: looks ahead along the momentum
  double trust_least = 0.01, trust_most = 10;  // of Lamb: bounds of a tensor's ratio
  double weight_decay = 0.01;  // of matrices and embeddings; vectors (norms, biases) have none
  double clip_norm = 1.0;      // with ClipNorm
  std::uint64_t seed = 1;      // of initial weights and of the data order
  bool shuffle = true;         // every epoch in a new order; false: as the source has the samples
  std::vector<Group> groups{};
  LossScale fp16{};
  int trace_events = 0;  // > 0: keep the last so many events for trace()
};

}  // namespace tessera::inline TESSERA_SETTING
