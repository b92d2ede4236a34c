/// Named compile-time rules: a misuse is a class template whose arguments are the offending numbers
/// and whose body is one static_assert with the way out; every compiler prints both.
///
/// A rule lives next to what it guards. It is a base, or a member of a struct of its own, never a
/// statement of a constexpr function: clang++ 14 would drop the notes of whatever throws there.
#pragma once

#include <tessera/core/setting.hpp>

namespace tessera::inline TESSERA_SETTING::rule {

template <auto Got, auto Limit>
concept AtMost = Got <= Limit;

template <auto Got>
concept Positive = Got >
0;

template <auto Part, auto Whole>
concept Divides = Positive<Part> &&(Whole % Part == 0);

}  // namespace tessera::inline TESSERA_SETTING::rule
