/// What a verb of the backend has done so far, to be held against the plan.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

struct Counter {
  std::int64_t calls = 0;
  Bytes copied = 0;   // moved by this rank
  Bytes payload = 0;  // that crossed the data axis in principle, to this rank

  void count(Bytes moved, Bytes crossed) {
    ++calls;
    copied += moved;
    payload += crossed;
  }
  bool operator==(Counter const&) const = default;
};

/// What crossed the data axis, by verb.
struct Traffic {
  Counter gathered{}, reduced{}, gradients_gathered{}, exchanged{};
};

}  // namespace tessera::inline TESSERA_SETTING
