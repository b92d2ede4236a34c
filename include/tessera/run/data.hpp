/// Where samples come from, and in which order.
#pragma once

#include <tessera/core/error.hpp>
#include <tessera/core/permutation.hpp>
#include <tessera/core/sample.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// Says how many samples there are, at least one (or throws Error): of n elements, or of its size.
template <class D>
concept CountsSamples = requires(D const& d, int n) {
  { d.samples(n) } -> std::convertible_to<std::int64_t>;
}
|| requires(D const& d) {
  { d.samples() } -> std::convertible_to<std::int64_t>;
};

/// A source of samples. Every rank holds one and asks it for different samples, so a sample may
/// depend on its index only.
///
///   d.samples(n)                    how many there are with an input of n elements; or d.samples()
///   d.sample(index, input, target)  writes every element of sample `index`, 0 <= index < samples
///
/// Text is `Data<D>`: two spans of n std::int32_t, tokens and their targets; a target of -1 is
/// ignored by the loss. What Samples<Count, Input, Target> reads is `Data<D, Input, Target>`: the
/// spans are Input::span and Target::span, of Real for Floats and of std::int32_t for Labels, and
/// their sizes are part of their types.
///
/// A source of text may also say d.where(index, tokens, k): the place of token k of a sample, for
/// messages.
template <class D, class Input = TokenSequence<1>, class Target = Input>
concept Data = CountsSamples<D> &&
    requires(D const& d, std::int64_t index, typename Input::span input,
             typename Target::span target) {
  d.sample(index, input, target);
};

inline constexpr std::int32_t ignored = -1;

/// Which sample is the g-th of the whole run: every epoch is a fresh permutation, so the order does
/// not depend on batch size or ranks, and a resumed run goes on where it stopped.
struct Order {
  std::uint64_t seed = 0;

  constexpr std::int64_t operator()(std::int64_t g, std::int64_t samples) const {
    return Permutation(samples, seed, static_cast<std::uint64_t>(g / samples))(g % samples);
  }
};

/// Reads one sample of text and refuses tokens that the model does not know.
template <Data D>
void read_sample(D const& data, std::int64_t index, int vocabulary, std::span<std::int32_t> input,
                 std::span<std::int32_t> target) {
  data.sample(index, input, target);
  bool good = true;
  for (std::size_t k = 0; k < input.size(); ++k)
    good &=
        input[k] >= 0 && input[k] < vocabulary && target[k] >= ignored && target[k] < vocabulary;
  if (good) return;

  std::size_t k = 0;
  auto const bad = [&](std::int32_t token, int least) {
    return token < least || token >= vocabulary;
  };
  while (!bad(input[k], 0) && !bad(target[k], ignored)) ++k;
  bool const in_target = !bad(input[k], 0);
  std::int64_t const at = std::int64_t(k) + in_target;
  std::string place = "sample " + std::to_string(index) + ", token " + std::to_string(at);
  if constexpr (requires { data.where(index, int(input.size()), at); })
    place = data.where(index, int(input.size()), at);
  throw Error(place + ": " + std::to_string(in_target ? target[k] : input[k]) +
              " is outside the model's vocabulary of " + std::to_string(vocabulary) +
              "; use the file's tokenizer's vocabulary in the model, or another file");
}

namespace detail {

/// What a source cannot mean, so that an element it has left out is noticed.
template <class T>
inline constexpr T unwritten = std::numeric_limits<T>::has_quiet_NaN
                                   ? std::numeric_limits<T>::quiet_NaN()
                                   : std::numeric_limits<T>::lowest();

template <class Field>
void check_elements(std::int64_t index, char const* which, typename Field::span elements) {
  constexpr int classes = Field::field.classes;
  auto const good = [](typename Field::element x) {
    if constexpr (classes == 0)
      return std::isfinite(x);
    else
      return x >= 0 && x < classes;
  };
  auto const bad = std::find_if_not(elements.begin(), elements.end(), good);
  if (bad == elements.end()) return;
  throw Error("sample " + std::to_string(index) + ": element " +
              std::to_string(bad - elements.begin()) + " of its " + which + " is " +
              std::to_string(*bad) + ", not " +
              (classes == 0 ? "a finite number" : "a label below " + std::to_string(classes)) +
              "; a source writes every element");
}

}  // namespace detail

/// Reads one sample that is not text and refuses what is no number, or no label of the model.
template <class Input, class Target, Data<Input, Target> D>
void read_sample(D const& data, std::int64_t index, typename Input::span input,
                 typename Target::span target) {
  std::fill(input.begin(), input.end(), detail::unwritten<typename Input::element>);
  std::fill(target.begin(), target.end(), detail::unwritten<typename Target::element>);
  data.sample(index, input, target);
  detail::check_elements<Input>(index, "input", input);
  detail::check_elements<Target>(index, "target", target);
}

}  // namespace tessera::inline TESSERA_SETTING
