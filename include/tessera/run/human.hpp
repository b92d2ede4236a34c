/// Numbers as people read them: 1.2k, 3.4 GiB, 1m 12s.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/setting.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

/// Three significant digits: 1.23, 12.3, 123.
inline std::string three_digits(double x) {
  char text[32];
  double const size = std::abs(x);
  std::snprintf(text, sizeof text, "%.*f", size < 9.995 ? 2 : size < 99.95 ? 1 : 0, x);
  return text;
}

}  // namespace detail

inline std::string human_count(double n) {
  if (!std::isfinite(n)) return "?";
  if (std::abs(n) < 999.5) {
    double const whole = std::round(n);
    if (whole == n || std::abs(n) >= 99.5) return std::to_string(std::int64_t(whole));
    return detail::three_digits(n);
  }
  char const* unit = "kMGTPE";
  for (n /= 1000; std::abs(n) >= 999.5 && unit[1] != '\0'; ++unit) n /= 1000;
  return detail::three_digits(n) + *unit;
}

inline std::string human_bytes(Bytes bytes) {
  if (std::abs(double(bytes)) < 1024) return std::to_string(bytes) + " B";
  double n = double(bytes) / 1024;
  char const* unit = "KMGTPE";
  for (; std::abs(n) >= 999.5 && unit[1] != '\0'; ++unit) n /= 1024;
  return detail::three_digits(n) + ' ' + *unit + "iB";
}

/// The two largest units: 850ms, 7.3s, 1m 12s, 2h 05m, 3d 04h.
inline std::string human_time(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  char text[48];
  if (seconds < 0.9995) {
    std::snprintf(text, sizeof text, "%.0fms", seconds * 1000);
  } else if (seconds < 9.95) {
    std::snprintf(text, sizeof text, "%.1fs", seconds);
  } else {
    auto const s = static_cast<long long>(seconds + 0.5);
    if (s < 60)
      std::snprintf(text, sizeof text, "%llds", s);
    else if (s < 3600)
      std::snprintf(text, sizeof text, "%lldm %02llds", s / 60, s % 60);
    else if (s < 86400)
      std::snprintf(text, sizeof text, "%lldh %02lldm", s / 3600, s % 3600 / 60);
    else
      std::snprintf(text, sizeof text, "%lldd %02lldh", s / 86400, s % 86400 / 3600);
  }
  return text;
}

}  // namespace tessera::inline TESSERA_SETTING
