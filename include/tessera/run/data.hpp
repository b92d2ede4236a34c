/// Where samples come from, and in which order.
#pragma once

#include <tessera/core/error.hpp>
#include <tessera/core/permutation.hpp>
#include <tessera/core/setting.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// A source of samples of `tokens` tokens. Every rank holds one and asks it for different samples,
/// so a sample may depend on its index only.
///
///   d.samples(tokens)               how many there are, at least one (or throw Error)
///   d.sample(index, input, target)  writes sample `index`, 0 <= index < samples: two spans of
///                                   `tokens` int32; a target of -1 is ignored by the loss
///
/// A source may also say d.where(index, tokens, k): the place of token k of a sample, for messages.
template <class D>
concept Data = requires(D const& d, std::int64_t index, int tokens, std::span<std::int32_t> out) {
  { d.samples(tokens) } -> std::convertible_to<std::int64_t>;
  d.sample(index, out, out);
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

/// Reads one sample and refuses tokens that the model does not know.
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

}  // namespace tessera::inline TESSERA_SETTING
