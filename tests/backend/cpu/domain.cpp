#include <tessera/backend/cpu/domain.hpp>

#include "../../ranks.hpp"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace tessera;
using test::world;

namespace {

std::vector<int> domain_sizes() {
  std::vector<int> sizes;
  for (int s = 1; s <= world().size(); s *= 2)
    if (world().can_share(s)) sizes.push_back(s);
  return sizes;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("a window starts zeroed, on a page, and what one rank writes all ranks of it read") {
  for (int const s : domain_sizes()) {
    Bytes const bytes = 3 * page_bytes + 100;  // no multiple of a page or of the ranks
    Domain domain(world(), s, bytes);
    CHECK(domain.ranks() == s);
    CHECK(domain.local() == world().rank() % s);
    CHECK(domain.first() == world().rank() - domain.local());
    CHECK(reinterpret_cast<std::uintptr_t>(domain.base()) % std::size_t(page_bytes) == 0);
    int not_zero = 0;
    for (Bytes i = 0; i < bytes; ++i) not_zero += domain.base()[i] != std::byte{0};
    CHECK(not_zero == 0);
    domain.barrier();
    for (Bytes i = domain.local(); i < bytes; i += s)
      domain.base()[i] = std::byte(domain.first() + i % 100);
    domain.barrier();
    int wrong = 0;
    for (Bytes i = 0; i < bytes; ++i)
      wrong += domain.base()[i] != std::byte(domain.first() + i % 100);
    CHECK(wrong == 0);
    CHECK(domain.barriers() == 2);
    domain.barrier();
  }
}

TEST_CASE("no rank passes a barrier that another has not reached") {
  constexpr int turns = 10000;
  for (int const s : domain_sizes()) {
    Domain domain(world(), s, page_bytes);
    // Plain memory: what carries the values from rank to rank is the barrier alone.
    auto* const turn_of = reinterpret_cast<std::int64_t*>(domain.base());
    std::int64_t wrong = 0;
    auto const begin = std::chrono::steady_clock::now();
    for (int turn = 1; turn <= turns; ++turn) {
      turn_of[domain.local()] = turn;
      domain.barrier();
      for (int l = 0; l < s; ++l) wrong += turn_of[l] != turn;
      domain.barrier();
    }
    double const micros = seconds_since(begin) / (2 * turns) * 1e6;
    MESSAGE("domain of " << s << ", " << world().size() << " ranks on "
                         << std::thread::hardware_concurrency() << " processors: " << micros
                         << " us per barrier");
    CHECK(wrong == 0);
    CHECK(domain.barriers() == 2 * turns);
    CHECK(micros < 5000);
  }
}

TEST_CASE("a rank that does not come is named with where it was last seen" * test::several_ranks) {
  test::needs_ranks(2);
  setenv("TESSERA_PATIENCE", "1", 1);
  Domain domain(world(), world().domain(), page_bytes);
  setenv("TESSERA_PATIENCE", "60", 1);
  int const culprit = world().size() - 1;
  domain.doing(world().rank() + 40, 5, 2);
  domain.barrier();
  if (world().rank() == culprit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  } else {
    std::string sentence;
    auto const begin = std::chrono::steady_clock::now();
    try {
      domain.barrier();
    } catch (Error const& error) {
      sentence = error.what();
      CHECK_FALSE(error.everywhere());
    }
    INFO(sentence);
    CHECK(sentence.find("for rank " + std::to_string(culprit) + " (pid ") != std::string::npos);
    CHECK(sentence.find(") at plan row " + std::to_string(culprit + 40) +
                        ", layer 5, micro-batch 2") != std::string::npos);
    CHECK(seconds_since(begin) > 1);
    CHECK(seconds_since(begin) < 10);
  }
  MPI_Barrier(world().comm());
}

TEST_CASE("a window larger than the shared memory is refused on every rank, with the numbers") {
  Bytes const vast = Bytes(1) << 46;
  if (world().size() == 1) {
    CHECK(Domain::fits(world(), 1, vast));  // private memory: the kernel decides later
    return;
  }
  CHECK_FALSE(Domain::fits(world(), world().domain(), vast));
  CHECK(Domain::fits(world(), 1, vast));
  CHECK(Domain::fits(world(), world().domain(), page_bytes));
  std::string sentence;
  try {
    Domain domain(world(), world().domain(), vast);
  } catch (Error const& error) {
    sentence = error.what();
    CHECK(error.everywhere());
  }
  INFO(sentence);
  CHECK(sentence.find("bytes in " + world().window_folder() + ", which has ") != std::string::npos);
  CHECK(sentence.find("--shm-size") != std::string::npos);
  CHECK(sentence.find("TESSERA_DOMAIN=1") != std::string::npos);
}

TEST_CASE("a domain size that does not divide the machine's ranks is refused on every rank") {
  CHECK_THROWS_AS(Domain(world(), world().size() + 1, page_bytes), Error);
}
