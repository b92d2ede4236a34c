/// What the refusals of models share: a small micro-batch, and the facts of a model at compile
/// time.
#pragma once

#include <tessera/graph/describe.hpp>
#include <tessera/layer/gpt2.hpp>

using namespace tessera;

struct Small {
  static constexpr int sequences = 2, tokens = 16;
  static constexpr std::span<std::string_view const> frozen{};
};
template <class Model>
inline constexpr std::size_t traced = describe<Model, Small>().segments.size();
