/// Cross-entropy of logits against target tokens, and its gradient in the logits' place.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// row_loss[r] = log sum exp(logits[r, :]) - logits[r, target]
/// gradient[r, :] = (softmax(logits[r, :]) - onehot(target)) * *scale * *factor, unless its view is
///                  null
///
/// Shapes  logits, gradient [rows, vocabulary] · row_loss, targets [rows]; a target of -1 is
///         ignored: loss and gradient are 0. Rows of gradient, stride elements apart (0: one
///         behind the other), may begin where those of logits do, which are overwritten anyway
/// Types   logits T, gradient S, loss and arithmetic Wide<T>
/// Moves   vocabulary * (sizeof(T) + sizeof(S)) bytes per row, sizeof(T) without gradient; the row
///         is read three times and is meant to fit the second cache
template <class T, class S = T>
struct CrossEntropy {
  static constexpr std::int32_t ignored = -1;
  static constexpr int piece_of_row = 1024;

  View<T> logits;
  View<Wide<T>> row_loss;
  View<std::int32_t const> targets;
  Wide<T> const* scale;             // 1 / valid tokens of the global batch
  Wide<T> const* factor = nullptr;  // of gradients, beside scale; null: 1
  View<S> gradient{};
  std::int64_t stride = 0;

  TESSERA_BOTH std::int64_t rows() const { return logits.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return logits.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const vocabulary = logits.cols();
    T* const row = logits.row(r);
    S* const slope = gradient.at ? gradient.at + r * (stride > 0 ? stride : vocabulary) : nullptr;
    W* const loss = row_loss.at + r;
    std::int32_t const target = targets[r];
    if (target == ignored) {
      if (slope)
        lane.each(
            vocabulary, [](std::int64_t, S& to) { to = S(W(0)); }, slope);
      lane.once([=] { *loss = 0; });
      return;
    }
    W const wanted = W(row[target]);  // before max(), whose barrier keeps it ahead of the writes
    W const highest = lane.max(vocabulary, [=](std::int64_t c) { return W(row[c]); });
    if (!slope) {
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
    W const to = factor ? *factor * *scale : *scale, by = to / sum;
    T const* const exponentials = row;
    if constexpr (sizeof(S) < sizeof(T)) {
      // A piece is read whole before anything is written, which then lies before the next one.
      auto piece = lane.template room<W, piece_of_row, CrossEntropy>();
      W* const scaled = piece.at();
      for (std::int64_t first = 0; first < vocabulary; first += piece_of_row) {
        std::int64_t const rest = vocabulary - first;
        std::int64_t const n = rest < piece_of_row ? rest : piece_of_row;
        lane.each(
            n, [=](std::int64_t, W& x, T const& ei) { x = W(ei) * by; }, scaled,
            exponentials + first);
        lane.each(
            n, [=](std::int64_t, S& si, W const& from) { si = S(from); }, slope + first, scaled);
      }
    } else {
      lane.each(
          vocabulary, [=](std::int64_t, S& si, T const& ei) { si = S(W(ei) * by); }, slope,
          exponentials);
    }
    lane.once([=] {
      *loss = std::log(sum) + highest - wanted;
      slope[target] = S((exp_fast(wanted - highest) / sum - 1) * to);
    });
  }
};

/// loss = *scale * (the sum of row_loss), by a lane's fixed tree
///
/// Shapes  loss [1] · row_loss [rows]
/// Types   losses and scale T, the sum double
/// Moves   sizeof(T) bytes per row
template <class T>
struct TotalLoss {
  T* loss;
  View<T const> row_loss;
  T const* scale;

  TESSERA_BOTH std::int64_t rows() const { return 1; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t) const {
    T const* const each = row_loss.at;
    double const sum = lane.sum(row_loss.count(), [=](std::int64_t r) { return double(each[r]); });
    T* const to = loss;
    T const by = *scale;
    lane.once([=] { *to = T(sum * double(by)); });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
