/// A parameter's name: members joined by dots, the layer number of a Repeat as '*' until it is
/// known.
#pragma once

#include <tessera/core/setting.hpp>

#include <array>
#include <string>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

struct Path {
  std::array<char, 80> text{};
  int size = 0;

  constexpr Path operator/(std::string_view name) const {
    Path p = *this;
    if (p.size > 0) p.put('.');
    for (char c : name) p.put(c);
    return p;
  }
  constexpr std::string_view view() const { return {text.data(), std::size_t(size)}; }

 private:
  constexpr void put(char c) {
    if (size + 1 >= int(text.size()))
      throw "tessera: a parameter's path is longer than 79 characters; shorten a member's name";
    text[std::size_t(size++)] = c;
  }
};

/// "blocks.*.mlp.up.weight" and 3 -> "blocks.3.mlp.up.weight".
inline std::string numbered(std::string_view path, int layer) {
  std::string s(path);
  if (auto const star = s.find('*'); star != std::string::npos)
    s.replace(star, 1, std::to_string(layer));
  return s;
}

}  // namespace tessera::inline TESSERA_SETTING
