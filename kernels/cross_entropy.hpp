/// Cross-entropy of logits against target tokens, and its gradient in the logits' place.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// row_loss[r] = log sum exp(logits[r, :]) - logits[r, target]
/// logits[r, :] <- (softmax(logits[r, :]) - onehot(target)) * scale, if `gradient` is asked for
///
/// Shapes  logits [rows, vocabulary] · row_loss, targets [rows]; a target of -1 is ignored: loss
/// and
///         gradient are 0
/// Types   logits T, loss and arithmetic Wide<T>
/// Moves   2 * vocabulary * sizeof(T) bytes per row, half without gradient; the row is read three
///         times and is meant to fit the second cache
template <class T>
struct CrossEntropy {
  static constexpr std::int32_t ignored = -1;

  View<T> logits;
  View<Wide<T>> row_loss;
  View<std::int32_t const> targets;
  Wide<T> scale;  // 1 / valid tokens of the global batch
  bool gradient = true;

  TESSERA_BOTH std::int64_t rows() const { return logits.rows(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const vocabulary = logits.cols();
    T* const row = logits.row(r);
    W* const loss = row_loss.at + r;
    std::int32_t const target = targets[r];
    if (target == ignored) {
      if (gradient) lane.each(vocabulary, [=](std::int64_t c) { row[c] = T(0); });
      lane.once([=] { *loss = 0; });
      return;
    }
    W const wanted = W(row[target]);  // before max(), whose barrier keeps it ahead of the writes
    W const highest = lane.max(vocabulary, [=](std::int64_t c) { return W(row[c]); });
    if (!gradient) {
      W const sum =
          lane.sum(vocabulary, [=](std::int64_t c) { return exp_fast(W(row[c]) - highest); });
      lane.once([=] { *loss = std::log(sum) + highest - wanted; });
      return;
    }
    W const sum = lane.sum(vocabulary, [=](std::int64_t c) {
      W const e = exp_fast(W(row[c]) - highest);
      row[c] = T(e);
      return e;
    });
    W const factor = scale / sum, to = scale;
    lane.each(vocabulary, [=](std::int64_t c) { row[c] = T(W(row[c]) * factor); });
    lane.once([=] {
      *loss = std::log(sum) + highest - wanted;
      row[target] = T((exp_fast(wanted - highest) / sum - 1) * to);
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
