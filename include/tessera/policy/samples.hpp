/// Samples<Count, Input, Target>: the micro-batch of one rank, of samples that are not text.
#pragma once

#include <tessera/core/sample.hpp>
#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int Count>
struct SamplesArePositive {
  static_assert(Positive<Count>, "Samples<Count, Input, Target>: Count must be positive");
};
template <class Field, bool Is>
struct IsSampleField {
  static_assert(Is,
                "Samples<Count, Input, Target>: Input and Target are Floats<Extents...> or "
                "Labels<Classes, Extents...>");
};
}  // namespace rule

/// What one rank computes at a time, in place of Batch: `Samples<32, Floats<28, 28>, Labels<10>>`.
/// The first segment's value is the input, [Count, Extents...]; targets(x) is the target. The last
/// segment returns a loss for each sample, [Count], and the loss of a step is their mean.
/// Bytes    the batch has Count times the elements of Input and Target, 4 bytes each
/// Refuses  a Count below 1 (rule::SamplesArePositive), other types (rule::IsSampleField), Batch
///          beside it (rule::PolicyOnce)
template <int Count, class Input, class Target>
struct Samples : rule::SamplesArePositive<Count>,
                 rule::IsSampleField<Input, is_sample_field<Input>>,
                 rule::IsSampleField<Target, is_sample_field<Target>> {
  static constexpr std::string_view name = "Batch";  // they turn one knob
  using input = Input;
  using target = Target;
  static constexpr SampleBatch batch{Count, Input::field, Target::field};
  static constexpr void set(Layout& layout) { layout.sequences = Count; }
};
static_assert(Policy<Samples<4, Floats<8>, Floats<>>>);

}  // namespace tessera::inline TESSERA_SETTING
