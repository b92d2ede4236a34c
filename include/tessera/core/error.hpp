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

/// A call of a device's library has failed. Whoever knows what it was for adds that.
class DeviceError : public Error {
 public:
  explicit DeviceError(std::string const& sentence) : Error(sentence), sentence_(sentence) {}
  std::string const& sentence() const { return sentence_; }

 private:
  std::string sentence_;
};

}  // namespace tessera::inline TESSERA_SETTING
