// manual
/// A program whose last rank dies or stops in the middle, for dead_rank.sh:
///   dead_rank barrier|exchange kill|stop|throw|everywhere|none
#include <tessera/backend/cpu/collective.hpp>

#include <signal.h>

#include <string>
#include <vector>

int main(int argc, char** argv) {
  using namespace tessera;
  World world(argc, argv);
  std::string const where = argv[1], how = argv[2];
  Domain domain(world, world.domain(), 1_MiB);
  Collective collective(world, domain);
  std::vector<double> table(std::size_t(world.size()));
  for (int row = 0; row < 1000; ++row) {
    domain.doing(row, row % 4, 0);
    if (row == 500 && how == "everywhere") throw Error("data.bin cannot be opened", true);
    if (row == 500 && world.rank() == world.size() - 1) {
      if (how == "kill") raise(SIGKILL);
      if (how == "stop") raise(SIGSTOP);
      if (how == "throw") throw Error("the loss is not finite; lower the learning rate");
    }
    if (where == "barrier")
      domain.barrier();
    else
      collective.exchange(table.data(), 1);
  }
}
