/// The few words of JSON that the library writes.
#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <string>
#include <string_view>

namespace tessera::json {

inline void append(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  out += '"';
  for (char const c : text) {
    auto const u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (u < 0x20) {
      out += "\\u00";
      out += hex[u >> 4];
      out += hex[u & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

/// The shortest digits that read back as the same number; null when it is not finite.
template <class T>
requires(std::floating_point<T> || std::integral<T>) void append(std::string& out, T number) {
  if constexpr (std::same_as<T, bool>) {
    out += number ? "true" : "false";
  } else {
    if constexpr (std::floating_point<T>)
      if (!std::isfinite(number)) {
        out += "null";
        return;
      }
    char digits[32];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  }
}

}  // namespace tessera::json
