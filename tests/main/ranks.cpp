/// The main of tests under mpirun: rank 0 reports, the others only when they fail.
#include "../ranks.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

namespace tessera::test {
namespace {

World* the_world = nullptr;
std::ostringstream unseen;  // what ranks other than 0 report

/// A failed rank may have left its test early, so the next collective call would mix two tests: the
/// run ends with the first test case that fails on any rank.
struct EndsTogether : doctest::IReporter {
  explicit EndsTogether(doctest::ContextOptions const&) {}
  void test_case_start(doctest::TestCaseData const& test) override { name = test.m_name; }
  void test_case_end(doctest::CurrentTestCaseStats const& stats) override {
    if (stats.testCaseSuccess || world().size() == 1) return;
    std::cout << std::flush;
    std::cerr << unseen.str() << "rank " << world().rank() << ": failed: " << name << std::endl;
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  void report_query(doctest::QueryData const&) override {}
  void test_run_start() override {}
  void test_run_end(doctest::TestRunStats const&) override {}
  void test_case_reenter(doctest::TestCaseData const&) override {}
  void test_case_exception(doctest::TestCaseException const&) override {}
  void subcase_start(doctest::SubcaseSignature const&) override {}
  void subcase_end() override {}
  void log_assert(doctest::AssertData const&) override {}
  void log_message(doctest::MessageData const&) override {}
  void test_case_skipped(doctest::TestCaseData const&) override {}
  std::string name;
};
REGISTER_LISTENER("ends_together", 1, EndsTogether);

}  // namespace

World& world() {
  return *the_world;
}

}  // namespace tessera::test

int main(int argc, char** argv) {
  setenv("TESSERA_PATIENCE", "60", 0);
#if defined(TESSERA_CUDA_DOUBLE)  // whose streams are threads that send messages
  struct Mpi {
    Mpi(int& c, char**& v) {
      int has = 0;
      MPI_Init_thread(&c, &v, MPI_THREAD_MULTIPLE, &has);
    }
    ~Mpi() { MPI_Finalize(); }
  } const mpi(argc, argv);
#endif
  tessera::World world(argc, argv);
  tessera::test::the_world = &world;
  doctest::Context context(argc, argv);
  if (!world.root()) context.setCout(&tessera::test::unseen);
  int failed = context.run();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, world.comm());
  return failed;
}
