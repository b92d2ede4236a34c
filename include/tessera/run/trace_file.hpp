/// One trace file of all ranks.
#pragma once

#include <tessera/run/engine.hpp>
#include <tessera/run/output.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Collective: every rank gives its events, rank 0 writes them.
inline void save_trace(Engine& engine, std::string const& path) {
  World const& world = engine.world();
  std::array<std::string_view, std::size_t(streams)> names;
  for (int s = 0; s < streams; ++s) names[std::size_t(s)] = word(Stream(s));
  mpi::check(MPI_Barrier(world.comm()), "MPI_Barrier");
  std::int64_t origin = engine.trace().first();
  mpi::check(MPI_Allreduce(MPI_IN_PLACE, &origin, 1, MPI_INT64_T, MPI_MIN, world.comm()),
             "MPI_Allreduce");
  std::string const mine = engine.trace().text(world.rank(), names, origin);
  std::optional<std::string> problem;
  if (world.root()) {
    std::vector<std::string> texts{mine};
    for (int r = 1; r < world.size(); ++r) {
      int size = 0;
      mpi::check(MPI_Recv(&size, 1, MPI_INT, r, 0, world.comm(), MPI_STATUS_IGNORE), "MPI_Recv");
      texts.emplace_back(std::size_t(size), '\0');
      mpi::check(
          MPI_Recv(texts.back().data(), size, MPI_CHAR, r, 0, world.comm(), MPI_STATUS_IGNORE),
          "MPI_Recv");
    }
    try {
      write_file(path, Trace::document(texts));
    } catch (Error const& e) {
      problem = e.what();
    }
  } else {
    int const size = int(mine.size());
    mpi::check(MPI_Send(&size, 1, MPI_INT, 0, 0, world.comm()), "MPI_Send");
    mpi::check(MPI_Send(mine.data(), size, MPI_CHAR, 0, 0, world.comm()), "MPI_Send");
  }
  world.agree(problem);
}

}  // namespace tessera::inline TESSERA_SETTING
