/// What a sample is made of: an input and a target, each of a fixed type and number of elements, so
/// that a batch's bytes are known while the program compiles.
#pragma once

#include <tessera/core/dtype.hpp>
#include <tessera/core/rule.hpp>
#include <tessera/core/shape.hpp>

#include <span>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int... Extents>
struct ExtentsFit {
  static_assert((Positive<Extents> && ...) && AtMost<int(sizeof...(Extents)), 3>,
                "Floats<Extents...>, Labels<Classes, Extents...>: at most three extents, each "
                "above 0; the samples of a batch are the fourth");
};
template <int Classes>
struct ClassesArePositive {
  static_assert(Positive<Classes>,
                "Labels<Classes, Extents...>: a label is one of at least one class: 0 to "
                "Classes - 1");
};
}  // namespace rule

/// The input or the target of one sample, as a value.
struct SampleField {
  DType dtype = DType::int32;  // or real
  Shape extents{};             // of one sample
  int classes = 0;             // int32: each is less; 0: tokens of the model's vocabulary

  constexpr std::int64_t count() const { return extents.count(); }
  /// Of a micro-batch.
  constexpr Shape shape(int samples) const {
    Shape s{.rank = extents.rank + 1, .dim = {samples}};
    for (int i = 0; i < extents.rank; ++i) s.dim[i + 1] = extents.dim[i];
    return s;
  }
  constexpr Bytes bytes(int samples) const { return samples * count() * size_of(dtype); }
};

/// Numbers: an image, a vector of features, what a regression aims at. Floats<> is one number.
template <int... Extents>
struct Floats : rule::ExtentsFit<Extents...> {
  static constexpr SampleField field{DType::real, shape_of(Extents...)};
  using element = Real;
  using span = std::span<Real, std::size_t(field.count())>;
};

/// Integers from 0 to Classes - 1: classes of images or pixels. Labels<10> is one of ten.
template <int Classes, int... Extents>
struct Labels : rule::ClassesArePositive<Classes>, rule::ExtentsFit<Extents...> {
  static constexpr SampleField field{DType::int32, shape_of(Extents...), Classes};
  using element = std::int32_t;
  using span = std::span<std::int32_t, std::size_t(field.count())>;
};

/// Tokens of the model's vocabulary: what Batch<Sequences, Tokens> makes samples of.
template <int Tokens>
struct TokenSequence {
  static constexpr SampleField field{DType::int32, shape_of(Tokens)};
  using element = std::int32_t;
  using span = std::span<std::int32_t>;
};

template <class T>
inline constexpr bool is_sample_field = false;
template <int... Extents>
inline constexpr bool is_sample_field<Floats<Extents...>> = true;
template <int Classes, int... Extents>
inline constexpr bool is_sample_field<Labels<Classes, Extents...>> = true;

/// A micro-batch of samples.
struct SampleBatch {
  int samples = 1;
  SampleField input{}, target{};

  /// Every token has a target, and the loss is a mean over those that are not ignored. Otherwise
  /// every sample has a loss.
  constexpr bool text() const { return input.dtype == DType::int32 && input.classes == 0; }
  /// The same samples, so many at a time.
  constexpr SampleBatch of(int count) const { return {count, input, target}; }
  /// Terms of the loss's mean in one sample.
  constexpr std::int64_t terms() const { return text() ? target.count() : 1; }
};

constexpr SampleBatch token_batch(int sequences, int tokens) {
  return {sequences, {DType::int32, shape_of(tokens)}, {DType::int32, shape_of(tokens)}};
}

}  // namespace tessera::inline TESSERA_SETTING
