/// Patterns over parameter paths: '*' stands for any characters, dots included.
#pragma once

#include <tessera/core/setting.hpp>

#include <string_view>

namespace tessera::inline TESSERA_SETTING {

constexpr bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, from = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*')
      star = p++, from = t;
    else if (p < pattern.size() && pattern[p] == text[t])
      ++p, ++t;
    else if (star != std::string_view::npos)
      p = star + 1, t = ++from;
    else
      return false;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}
static_assert(matches("*.bias", "blocks.*.mlp.up.bias") && !matches("*.bias", "head.norm.gain"));

}  // namespace tessera::inline TESSERA_SETTING
