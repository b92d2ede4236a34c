#include <tessera/run/world.hpp>

#include "../ranks.hpp"

#include <cstdlib>
#include <optional>
#include <string>

using namespace tessera;
using test::world;

namespace {

/// The sentence of the Error that f throws on this rank; empty: none.
template <class F>
std::string refusal(F const& f) {
  try {
    f();
  } catch (Error const& error) {
    CHECK(error.everywhere());
    return error.what();
  }
  return {};
}

/// A second World, as a program started with this TESSERA_DOMAIN would see it.
int domain_with(char const* forced) {
  setenv("TESSERA_DOMAIN", forced, 1);
  struct Reset {
    ~Reset() { unsetenv("TESSERA_DOMAIN"); }
  } reset;
  int argc = 0;
  char** argv = nullptr;
  return World(argc, argv).domain();
}

}  // namespace

TEST_CASE("ranks of one machine share memory unless TESSERA_DOMAIN says otherwise") {
  unsetenv("TESSERA_DOMAIN");
  int argc = 0;
  char** argv = nullptr;
  World const plain(argc, argv);
  CHECK(plain.size() == world().size());
  CHECK(plain.node_size() == world().size());
  CHECK(plain.domain() == world().size());
  CHECK(plain.node_rank() == world().rank());
  CHECK(plain.root() == (world().rank() == 0));
  CHECK(domain_with("1") == 1);
  if (world().size() % 2 == 0) CHECK(domain_with("2") == 2);
}

TEST_CASE("a TESSERA_DOMAIN that does not divide the ranks is refused on every rank") {
  for (char const* bad : {"3", "0", "-1", "two", "2x", "99999999999"}) {
    std::string const sentence = refusal([&] { domain_with(bad); });
    INFO(bad << ": " << sentence);
    CHECK(sentence.find("TESSERA_DOMAIN=" + std::string(bad)) != std::string::npos);
    CHECK(sentence.find("set a divisor of it, 1, or nothing") != std::string::npos);
  }
}

TEST_CASE("a World that found MPI running leaves it running") {
  {
    int argc = 0;
    char** argv = nullptr;
    World const second(argc, argv);
  }
  CHECK(mpi::running());
}

TEST_CASE("one rank's problem is every rank's Error, with the rank in front") {
  world().agree();
  int const last = world().size() - 1;
  std::optional<std::string> problem;
  if (world().rank() == last) problem = "the disk is full";
  std::string const who = last == 0 ? "" : "rank " + std::to_string(last) + ": ";
  CHECK(refusal([&] { world().agree(problem); }) == "tessera: " + who + "the disk is full");
}

TEST_CASE("of several problems the lowest rank's is told; one that all share needs no rank") {
  auto const mine = std::optional("problem of " + std::to_string(world().rank()));
  CHECK(refusal([&] { world().agree(mine); }) == "tessera: problem of 0");
  CHECK(refusal([&] { world().agree(Error("no file").what()); }) == "tessera: no file");
}

#if defined(_OPENMP)
TEST_CASE("threads are the machine's processors divided by its ranks") {
  cpu_set_t mine;
  sched_getaffinity(0, sizeof mine, &mine);
  unsetenv("OMP_NUM_THREADS");
  CHECK(world().set_threads() == std::max(1, CPU_COUNT(&mine) / world().size()));
  omp_set_num_threads(3);
  setenv("OMP_NUM_THREADS", "3", 1);
  CHECK(world().set_threads() == 3);
  unsetenv("OMP_NUM_THREADS");
}
#endif

TEST_CASE("the last line of a rank is one line, and an Error of every rank is rank 0's") {
  auto const one = std::make_exception_ptr(Error("no room"));
  auto const all = std::make_exception_ptr(Error("no file", true));
  auto const foreign = std::make_exception_ptr(std::runtime_error("two\nlines"));
  CHECK(last_line(one, 3) == "rank 3: tessera: no room\n");
  CHECK(last_line(all, 0) == "tessera: no file\n");
  CHECK(last_line(all, 3).empty());
  CHECK(last_line(foreign, 1) == "rank 1: two lines\n");
  CHECK(last_line(std::make_exception_ptr(7), 1) ==
        "rank 1: an exception that is no std::exception\n");
}
