#include <tessera/backend/cpu/watch.hpp>

#include "../../ranks.hpp"

#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

using namespace tessera;
using test::world;

namespace {

/// A process that has ended; until wait() it is a zombie.
int ended_process() {
  char const* const arguments[] = {"true", nullptr};
  int pid = 0;
  REQUIRE(posix_spawnp(&pid, "true", nullptr, nullptr, const_cast<char**>(arguments), environ) ==
          0);
  siginfo_t info{};
  waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT);
  return pid;
}

}  // namespace

TEST_CASE("a process is dead when it is gone, a zombie, or a later one of the same number") {
  Process const self = this_process();
  CHECK(self.started > 0);
  CHECK_FALSE(dead(self, self));

  Process other = self;
  other.started += 1;
  CHECK(dead(other, self));
  other.space += 1;  // numbered elsewhere: nothing can be said
  CHECK_FALSE(dead(other, self));

  Process child = self;
  child.pid = ended_process();
  child.started = 0;
  runs(child.pid, child.started);
  CHECK(dead(child, self));
  waitpid(child.pid, nullptr, 0);
  CHECK(dead(child, self));
}

TEST_CASE("patience ends with the names and places of those who are late" * test::several_ranks) {
  test::needs_ranks(2);
  setenv("TESSERA_PATIENCE", "2.5", 1);
  Watch watch(world());
  setenv("TESSERA_PATIENCE", "60", 1);
  if (world().rank() == 1) watch.doing(12, 3, 0);
  MPI_Barrier(world().comm());
  auto const late = [](int rank) { return rank == 1; };
  watch.look(2.4, late);
  if (world().rank() == 0) {
    std::string sentence;
    try {
      watch.look(2.6, late);
    } catch (Error const& error) {
      sentence = error.what();
    }
    INFO(sentence);
    CHECK(sentence.find("waited 2 s (before its first plan row) for rank 1 (pid ") !=
          std::string::npos);
    CHECK(sentence.find(") at plan row 12, layer 3, micro-batch 0") != std::string::npos);
    CHECK(sentence.find("TESSERA_PATIENCE") != std::string::npos);
  }
  MPI_Barrier(world().comm());
}

TEST_CASE("a patience that is no number of seconds is refused on every rank") {
  for (char const* bad : {"soon", "0", "-3", ""}) {
    setenv("TESSERA_PATIENCE", bad, 1);
    CHECK_THROWS_AS(Watch{world()}, Error);
    MPI_Barrier(world().comm());
  }
  setenv("TESSERA_PATIENCE", "60", 1);
}
