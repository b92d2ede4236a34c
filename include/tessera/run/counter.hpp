/// What a verb of the backend has done so far, to be held against the plan.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

struct Counter {
  std::int64_t calls = 0;
  Bytes copied = 0;

  void count(Bytes bytes) {
    ++calls;
    copied += bytes;
  }
  bool operator==(Counter const&) const = default;
};

}  // namespace tessera::inline TESSERA_SETTING
