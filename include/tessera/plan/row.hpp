/// A row of the plan: one thing every data rank does, for each layer of a segment or flat.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/setting.hpp>

#include <array>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

enum class Do : std::uint8_t {
  load,             // the micro-batch, into the batch buffer
  gather,           // the whole weights of a flat become readable
  release,          // and are no longer read
  forward,          // of a segment
  backward,         // of a segment
  merge,            // subtrees that a micro-batch completes, under Strict, become one sum
  merge_uses,       // the sums of a tied flat's segments become one
  barrier,          // of the ranks that share memory
  reduce,           // a rank sums its part of a flat's gradient over all ranks, by halves; under
                    // Strict each use of a tied flat, and then these
  gather_gradient,  // every rank's reduced part, to every rank
  norm,             // sums of squares of a rank's part of a flat's gradient
  exchange,         // norms and losses of all ranks, to every rank
  prepare,          // the optimizer's states, and what its step takes from whole tensors
  exchange_sums,    // sums over every rank's parts of tensors, to every rank
  gather_update,    // the parts of a flat's update become whole
  orthogonalize,    // its matrices, each by one rank of those that share the update
  step              // the optimizer, on the weights this rank keeps states of
};
inline constexpr int kinds_of_rows = int(Do::step) + 1;

/// Does it change weights or states, or serve to?
constexpr bool updates(Do op) {
  return op >= Do::prepare && op <= Do::step;
}

enum class Pass : std::uint8_t { begin, forward, backward, update };

/// The micro-batches of a step in which a row runs.
enum class When : std::uint8_t { every, first, last, not_first, not_last };

enum class Stream : std::uint8_t { compute, gather, reduce };
inline constexpr int streams = 3;

/// What computes waits for what moves bytes only where it must, so they are apart.
constexpr Stream stream_of(Do op) {
  switch (op) {
    case Do::gather:
    case Do::gather_update: return Stream::gather;
    case Do::reduce:
    case Do::gather_gradient: return Stream::reduce;
    default: return Stream::compute;
  }
}

/// What a row waits for on another stream: all that was issued there...
enum class Wait : std::uint8_t {
  none,
  before_last_turn,  // ...before the turn before this one
  before_turn,       // ...before this turn
  all                // ...so far
};

using Waits = std::array<Wait, streams>;

/// A turn is one layer's pass, or the update.
struct Row {
  Pass pass = Pass::begin;
  int segment = -1;
  int flat = -1;
  Do op = Do::load;
  When when = When::every;
  Stream stream = Stream::compute;
  Waits wait{};        // by stream
  bool ahead = false;  // issued one turn early
  bool once = false;   // only at the layer that its pass reaches last, not at each
  Bytes payload = 0;   // that cross the data axis in principle, per rank and execution
  Bytes copied = 0;    // that this rank moves
};

constexpr bool runs(When when, int micro, int micros) {
  switch (when) {
    case When::every: return true;
    case When::first: return micro == 0;
    case When::last: return micro == micros - 1;
    case When::not_first: return micro > 0;
    case When::not_last: return micro < micros - 1;
  }
  return false;
}

}  // namespace tessera::inline TESSERA_SETTING
