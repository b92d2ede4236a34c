/// Sizes in bytes: the unit of plans, arenas and counters.
#pragma once

#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

using Bytes = std::int64_t;

constexpr Bytes operator""_KiB(unsigned long long n) {
  return Bytes(n) << 10;
}
constexpr Bytes operator""_MiB(unsigned long long n) {
  return Bytes(n) << 20;
}
constexpr Bytes operator""_GiB(unsigned long long n) {
  return Bytes(n) << 30;
}

constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Every buffer in an arena starts at a multiple of this many bytes.
inline constexpr Bytes buffer_alignment = 256;

constexpr Bytes aligned(Bytes n) {
  return round_up(n, buffer_alignment);
}

}  // namespace tessera::inline TESSERA_SETTING
