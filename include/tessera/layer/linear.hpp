/// Linear: y = weight x + bias over the last dimension, or y = weight x.
#pragma once

#include <tessera/op/matmul.hpp>

namespace tessera::inline TESSERA_SETTING {

struct WithBias {};
struct NoBias {};

/// `Linear<768, 3072>` or `Linear<768, 3072, NoBias>`.
template <int In, int Out, class Bias = WithBias>
struct Linear;

template <int In, int Out>
struct Linear<In, Out, WithBias> {
  Param<Out, In> weight;
  Param<Out> bias = zeros;
  constexpr Value operator()(Value x) const { return linear(x, weight, bias); }
};

template <int In, int Out>
struct Linear<In, Out, NoBias> {
  Param<Out, In> weight;
  constexpr Value operator()(Value x) const { return matmul(x, weight); }
};

}  // namespace tessera::inline TESSERA_SETTING
