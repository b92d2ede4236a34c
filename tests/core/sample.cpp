// static
#include <tessera/core/sample.hpp>

#include <type_traits>

namespace {

using namespace tessera;

// One sample's extents, and those of a micro-batch.
static_assert(Floats<3, 4>::field.count() == 12 && Floats<>::field.count() == 1);
static_assert(Floats<3, 4>::field.shape(5) == shape_of(5, 3, 4));
static_assert(Labels<10>::field.shape(5) == shape_of(5) && Labels<10>::field.classes == 10);
static_assert(Floats<3, 4>::field.bytes(5) == 60 * Bytes(sizeof(Real)));
static_assert(Labels<7, 3>::field.bytes(5) == 60);

// What a source writes: a span of another length, or of another type, does not convert.
static_assert(std::is_same_v<Floats<3, 4>::span, std::span<Real, 12>>);
static_assert(std::is_same_v<Labels<7>::span, std::span<std::int32_t, 1>>);
static_assert(std::is_convertible_v<Floats<12>::span, std::span<Real>>);
static_assert(!std::is_convertible_v<Floats<12>::span, std::span<Real, 11>>);
static_assert(!std::is_convertible_v<Floats<12>::span, std::span<std::int32_t>>);

// Text has a target for every token, anything else a loss for every sample.
constexpr SampleBatch text = token_batch(3, 5), images{3, Floats<5>::field, Labels<2>::field};
static_assert(text.text() && text.terms() == 5);
static_assert(!images.text() && images.terms() == 1);
static_assert(!SampleBatch{3, Labels<9, 5>::field, Labels<9, 5>::field}.text());

static_assert(is_sample_field<Floats<1>> && is_sample_field<Labels<2, 3>> && !is_sample_field<int>);

}  // namespace
