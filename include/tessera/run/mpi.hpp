/// MPI as the library calls it: without its C++ bindings, and a failed call is an Error.
#pragma once

#include <tessera/core/error.hpp>

#if defined(TESSERA_NO_MPI)
#include <tessera/run/one_rank.hpp>
#else
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>
#endif

#include <string>

namespace tessera::mpi {

/// The communicators of the library return codes; this turns them into a sentence.
inline void check(int code, char const* call) {
  if (code == MPI_SUCCESS) return;
  std::string text(MPI_MAX_ERROR_STRING, '\0');
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  text.resize(std::size_t(length));
  throw Error(std::string(call) + " failed with code " + std::to_string(code) + ": " + text);
}

inline bool running() {
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  return started && !ended;
}

/// Where MPI keeps shared windows: Open MPI says so in a control variable, others use /dev/shm.
/// Slow, up to half a second: Open MPI loads all of its components to answer.
inline std::string window_folder() {
  std::string folder = "/dev/shm";
#if !defined(TESSERA_NO_MPI)
  int level = 0, index = 0, count = 0;
  MPI_Query_thread(&level);  // Open MPI takes this call for a change of it
  if (MPI_T_init_thread(level, &level) != MPI_SUCCESS) return folder;
  MPI_T_cvar_handle handle{};
  if (MPI_T_cvar_get_index("osc_sm_backing_directory", &index) == MPI_SUCCESS &&
      MPI_T_cvar_handle_alloc(index, nullptr, &handle, &count) == MPI_SUCCESS) {
    std::string text(std::size_t(count) + 1, '\0');
    if (MPI_T_cvar_read(handle, text.data()) == MPI_SUCCESS && text[0] == '/')
      folder = text.c_str();
    MPI_T_cvar_handle_free(&handle);
  }
  MPI_T_finalize();
#endif
  return folder;
}

/// A communicator of this library's own, freed with it.
class Comm {
 public:
  Comm() = default;
  explicit Comm(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }
  Comm(Comm const&) = delete;
  Comm& operator=(Comm const&) = delete;
  ~Comm() {
    if (comm_ != MPI_COMM_NULL && running()) MPI_Comm_free(&comm_);
  }
  MPI_Comm get() const { return comm_; }
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
};

}  // namespace tessera::mpi
