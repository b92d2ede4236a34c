/// MPI for a program of one rank on a machine that has none: -DTESSERA_NO_MPI. Only what the
/// library calls; messages to others are refused.
#pragma once

#if defined(TESSERA_NO_MPI)

#include <cstddef>
#include <cstdlib>
#include <cstring>

struct MPI_One;  // every handle but null
using MPI_Comm = MPI_One*;
using MPI_Request = MPI_One*;
using MPI_Win = MPI_One*;
using MPI_Info = MPI_One*;
using MPI_Op = int;
using MPI_Datatype = std::size_t;  // its bytes
using MPI_Aint = std::ptrdiff_t;
struct MPI_Status {};

inline MPI_Comm const MPI_COMM_NULL = nullptr;
inline MPI_Comm const MPI_COMM_WORLD = reinterpret_cast<MPI_Comm>(std::size_t(1));
inline MPI_Request const MPI_REQUEST_NULL = nullptr;
inline MPI_Win const MPI_WIN_NULL = nullptr;
inline MPI_Info const MPI_INFO_NULL = nullptr;
inline MPI_Status* const MPI_STATUS_IGNORE = nullptr;
inline MPI_Status* const MPI_STATUSES_IGNORE = nullptr;
inline void* const MPI_IN_PLACE = reinterpret_cast<void*>(std::size_t(1));

enum : int {
  MPI_SUCCESS,
  MPI_ERR_OTHER,
  MPI_ERRORS_RETURN,
  MPI_COMM_TYPE_SHARED,
  MPI_MODE_NOCHECK,
  MPI_THREAD_FUNNELED,
  MPI_THREAD_MULTIPLE,
  MPI_MIN,
  MPI_MAX,
  MPI_SUM,
  MPI_BOR,
  MPI_MAX_ERROR_STRING = 64
};
enum : MPI_Datatype {
  MPI_BYTE = 1,
  MPI_CHAR = 1,
  MPI_INT = sizeof(int),
  MPI_UINT32_T = 4,
  MPI_INT64_T = 8,
  MPI_DOUBLE = sizeof(double)
};

namespace tessera::one_rank {
inline bool& started() {
  static bool yes = false;  // MPI's state is the process's, too
  return yes;
}
inline bool& ended() {
  static bool yes = false;
  return yes;
}
inline int copied(void const* from, void* to, std::size_t bytes) {
  if (from != MPI_IN_PLACE && from != to) std::memcpy(to, from, bytes);
  return MPI_SUCCESS;
}
}  // namespace tessera::one_rank

inline int MPI_Init_thread(int*, char***, int wanted, int* provided) {
  tessera::one_rank::started() = true;
  *provided = wanted;
  return MPI_SUCCESS;
}
inline int MPI_Initialized(int* yes) {
  return *yes = tessera::one_rank::started(), MPI_SUCCESS;
}
inline int MPI_Finalized(int* yes) {
  return *yes = tessera::one_rank::ended(), MPI_SUCCESS;
}
inline int MPI_Query_thread(int* level) {
  return *level = MPI_THREAD_MULTIPLE, MPI_SUCCESS;
}
inline int MPI_Finalize() {
  return tessera::one_rank::ended() = true, MPI_SUCCESS;
}
[[noreturn]] inline int MPI_Abort(MPI_Comm, int code) {
  std::_Exit(code);
}
inline int MPI_Error_string(int, char* text, int* length) {
  char const words[] = "there is one rank (TESSERA_NO_MPI)";
  std::memcpy(text, words, sizeof words);
  return *length = int(sizeof words) - 1, MPI_SUCCESS;
}

inline int MPI_Comm_rank(MPI_Comm, int* rank) {
  return *rank = 0, MPI_SUCCESS;
}
inline int MPI_Comm_size(MPI_Comm, int* size) {
  return *size = 1, MPI_SUCCESS;
}
inline int MPI_Comm_dup(MPI_Comm from, MPI_Comm* to) {
  return *to = from, MPI_SUCCESS;
}
inline int MPI_Comm_split(MPI_Comm from, int, int, MPI_Comm* to) {
  return MPI_Comm_dup(from, to);
}
inline int MPI_Comm_split_type(MPI_Comm from, int, int, MPI_Info, MPI_Comm* to) {
  return MPI_Comm_dup(from, to);
}
inline int MPI_Comm_free(MPI_Comm* comm) {
  return *comm = MPI_COMM_NULL, MPI_SUCCESS;
}
inline int MPI_Comm_set_errhandler(MPI_Comm, int) {
  return MPI_SUCCESS;
}

inline int MPI_Barrier(MPI_Comm) {
  return MPI_SUCCESS;
}
inline int MPI_Bcast(void*, int, MPI_Datatype, int, MPI_Comm) {
  return MPI_SUCCESS;
}
inline int MPI_Allreduce(void const* from, void* to, int count, MPI_Datatype type, MPI_Op,
                         MPI_Comm) {
  return tessera::one_rank::copied(from, to, std::size_t(count) * type);
}
inline int MPI_Iallgather(void const* from, int count, MPI_Datatype type, void* to, int,
                          MPI_Datatype, MPI_Comm, MPI_Request* request) {
  *request = MPI_REQUEST_NULL;
  return tessera::one_rank::copied(from, to, std::size_t(count) * type);
}
inline int MPI_Send(void const*, int, MPI_Datatype, int, int, MPI_Comm) {
  return MPI_ERR_OTHER;
}
inline int MPI_Recv(void*, int, MPI_Datatype, int, int, MPI_Comm, MPI_Status*) {
  return MPI_ERR_OTHER;
}
inline int MPI_Isend(void const*, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request*) {
  return MPI_ERR_OTHER;
}
inline int MPI_Irecv(void*, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request*) {
  return MPI_ERR_OTHER;
}
inline int MPI_Testall(int, MPI_Request*, int* done, MPI_Status*) {
  return *done = 1, MPI_SUCCESS;
}
inline int MPI_Request_get_status(MPI_Request, int* done, MPI_Status*) {
  return *done = 1, MPI_SUCCESS;
}

inline int MPI_Info_create(MPI_Info*) {
  return MPI_SUCCESS;
}
inline int MPI_Info_set(MPI_Info, char const*, char const*) {
  return MPI_SUCCESS;
}
inline int MPI_Info_free(MPI_Info*) {
  return MPI_SUCCESS;
}
inline int MPI_Win_allocate_shared(MPI_Aint, int, MPI_Info, MPI_Comm, void*, MPI_Win*) {
  return MPI_ERR_OTHER;
}
inline int MPI_Win_shared_query(MPI_Win, int, MPI_Aint*, int*, void*) {
  return MPI_ERR_OTHER;
}
inline int MPI_Win_lock_all(int, MPI_Win) {
  return MPI_ERR_OTHER;
}
inline int MPI_Win_unlock_all(MPI_Win) {
  return MPI_ERR_OTHER;
}
inline int MPI_Win_free(MPI_Win*) {
  return MPI_ERR_OTHER;
}

#endif
