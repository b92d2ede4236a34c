/// What planners know of a model: its segments and flat buffers, without its graph.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/sample.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// One buffer of parameters: a segment's own (a copy per layer), its frozen ones, its running
/// statistics, those that stay real, or a tied one.
struct FlatInfo {
  std::string_view name{};
  int layers = 1;
  std::int64_t elements = 0;  // of one layer: the sum of 64-aligned parameters
  int tensors = 1;            // parameters of one layer
  bool trainable = true;
  bool tied = false;      // shared by several segments, or by the layers of one
  bool matrices = false;  // an optimizer steps its tensors as whole matrices
  bool running = false;  // statistics: what is called their gradient are changes, added as they are
  bool full = false;     // stays real where others are stored in 16 bits
};

/// A matrix in each layer of a flat of matrices.
struct MatrixInfo {
  int flat = -1;
  std::int64_t offset = 0;  // of its first element
  std::int64_t rows = 0, cols = 0;
};

/// How a segment uses a flat.
struct FlatUse {
  int flat = -1;
  bool forward = false;   // the forward part reads the weights
  bool backward = false;  // the backward part reads the weights
  bool gradient = false;  // backward contributes to its gradient
};
inline constexpr int flats_of_segment = 8;

/// A member of the model. Bytes and work are of one layer and one micro-batch.
struct SegmentInfo {
  std::string_view name{};
  int layers = 1;
  std::array<FlatUse, flats_of_segment> flats{};
  Bytes output = 0;   // the activation at its end
  Bytes kept = 0;     // forward values that backward reads
  Bytes scratch = 0;  // the largest need of its parts
  double forward_flops = 0, backward_flops = 0;
};

/// What fused ops of a segment save. Bytes are of one layer and one micro-batch.
struct FusionInfo {
  int segment = 0;
  std::string_view name{};
  int ops = 0;
  Bytes saved = 0;
};

/// Who computes ops of a segment where its backend has a choice, unless a GPU refuses.
struct ChoiceInfo {
  int segment = 0;
  std::string_view op{}, by{};
  int ops = 0;  // of one layer and one micro-batch
};

/// The last segment computes the loss.
struct Facts {
  std::vector<SegmentInfo> segments{};
  std::vector<FlatInfo> flats{};
  std::vector<MatrixInfo> matrices{};
  std::vector<FusionInfo> fusions{};
  std::vector<ChoiceInfo> choices{};
  Bytes workspace = 0;  // of kernels: the largest need
  Bytes batch = 0;      // inputs and targets of one micro-batch, and what goes with them
  SampleBatch samples{};

  /// Numbers that a micro-batch's loss is made of: one, or of every sample two.
  constexpr int losses() const { return samples.text() ? 1 : 2 * samples.samples; }
};

/// Shards are whole chunks of this many elements: the unit of fixed-order sums.
inline constexpr int chunk_elements = 256;

/// Elements of a flat's layer on `ranks` data ranks, and of the part that one rank owns.
constexpr std::int64_t padded(std::int64_t elements, int ranks) {
  return round_up(elements, std::int64_t(ranks) * chunk_elements);
}
constexpr std::int64_t part(std::int64_t elements, int ranks) {
  return padded(elements, ranks) / ranks;
}

/// Index of a segment's layer inside a flat: a tied flat has one layer for all.
constexpr int flat_layer(FlatInfo const& flat, int layer) {
  return flat.layers == 1 ? 0 : layer;
}

/// Tensors of all layers of the first `flats` flats, of those that are trained.
constexpr int trained_tensors(Facts const& facts, int flats) {
  int n = 0;
  for (int f = 0; f < flats; ++f) {
    FlatInfo const& flat = facts.flats[std::size_t(f)];
    n += flat.trainable ? flat.layers * flat.tensors : 0;
  }
  return n;
}
/// Of one rank: two sums of squares for each, of its part.
constexpr Bytes tensor_sums(Facts const& facts) {
  return 2 * Bytes(sizeof(double)) * trained_tensors(facts, int(facts.flats.size()));
}

/// The first segment that has a gradient to compute; backward ends there. Number of segments: none.
constexpr int first_trained(Facts const& facts) {
  int s = 0;
  for (SegmentInfo const& segment : facts.segments) {
    for (FlatUse const& u : segment.flats)
      if (u.flat >= 0 && u.gradient) return s;
    ++s;
  }
  return s;
}

/// Segments that contribute to a flat's gradient: backward starts at `first` and ends at `last`.
struct Contributors {
  int first = -1, last = -1;
  int segments = 0;
  int count = 0;  // contributions per layer of the flat and micro-batch
};
constexpr Contributors contributors(Facts const& facts, int flat) {
  Contributors c;
  for (int s = int(facts.segments.size()); s-- > 0;)
    for (FlatUse const& u : facts.segments[s].flats)
      if (u.flat == flat && u.gradient) {
        if (c.first < 0) c.first = s;
        c.last = s;
        ++c.segments;
        c.count += facts.flats[flat].layers == 1 ? facts.segments[s].layers : 1;
      }
  return c;
}

}  // namespace tessera::inline TESSERA_SETTING
