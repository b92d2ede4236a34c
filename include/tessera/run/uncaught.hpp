/// What an exception that nobody catches does: one line, then every rank ends non-zero.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/run/mpi.hpp>

#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// The line that a rank prints for the exception in flight; empty: another rank prints it.
inline std::string last_line(std::exception_ptr const& thrown, int rank) {
  std::string line = "rank " + std::to_string(rank) + ": ";
  if (!thrown) return line + "std::terminate was called\n";
  try {
    std::rethrow_exception(thrown);
  } catch (Error const& error) {
    if (error.everywhere() && rank != 0) return {};
    line = error.everywhere() ? error.what() : line + error.what();
  } catch (std::exception const& error) {
    line += error.what();
  } catch (...) {
    line += "an exception that is no std::exception";
  }
  for (char& c : line)
    if (c == '\n') c = ' ';
  return line + "\n";
}

/// Long enough for the launcher to end a rank that has nothing to say.
inline constexpr int seconds_to_be_ended = 5;

/// The terminate handler that World installs. Ends without destructors: those of windows and
/// communicators are collective, and the other ranks may be anywhere.
[[noreturn]] inline void end_every_rank() {
  int rank = 0, size = 1;
  bool const with_mpi = mpi::running();
  if (with_mpi) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
  }
  std::string const line = last_line(std::current_exception(), rank);
  if (line.empty()) {
    ::sleep(seconds_to_be_ended);
    std::_Exit(1);
  }
  // One write, so that lines of several ranks never interleave.
  auto const written = ::write(STDERR_FILENO, line.data(), line.size());
  // A lone rank has nobody to end, and MPI_Abort talks.
  if (with_mpi && size > 1 && written >= 0) MPI_Abort(MPI_COMM_WORLD, 1);
  std::_Exit(1);
}

}  // namespace tessera::inline TESSERA_SETTING
