/// A run-time refusal: one sentence that names the thing and the way out.
#pragma once

#include <tessera/core/setting.hpp>

#include <stdexcept>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// Uncaught, it ends every rank: see World. `everywhere`: every rank throws the same one (a missing
/// file, a world size that does not fit), so only rank 0 prints it.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string const& sentence, bool everywhere = false)
      : std::runtime_error("tessera: " + sentence), everywhere_(everywhere) {}
  bool everywhere() const { return everywhere_; }

 private:
  bool everywhere_;
};

}  // namespace tessera::inline TESSERA_SETTING
