/// Memory that the kernel counts for this process.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/setting.hpp>

#include <cstdio>
#include <cstring>

namespace tessera::inline TESSERA_SETTING {

/// Private anonymous memory that is resident, in bytes; 0 where /proc does not tell.
inline Bytes private_memory() {
  std::FILE* const f = std::fopen("/proc/self/status", "r");
  if (!f) return 0;
  char line[256];
  long kib = 0;
  while (std::fgets(line, sizeof line, f))
    if (std::sscanf(line, "RssAnon: %ld kB", &kib) == 1) break;
  std::fclose(f);
  return Bytes(kib) * 1024;
}

}  // namespace tessera::inline TESSERA_SETTING
