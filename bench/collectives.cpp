/// How fast parts cross the data axis, beside MPI's own collectives, interleaved in one run:
///   mpirun -n 2 collectives [MiB]
#include <tessera/backend/cpu/collective.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace tessera;

namespace {

/// Milliseconds of every turn, the slowest rank's.
class Timed {
 public:
  Timed(World const& world, char const* name) : world_(world), name_(name) {}
  template <class F>
  void turn(F const& f) {
    MPI_Barrier(world_.comm());
    double const begin = MPI_Wtime();
    f();
    double seconds = MPI_Wtime() - begin;
    MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, world_.comm());
    turns_.push_back(seconds * 1e3);
  }
  double median() const {
    auto sorted = turns_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  void print(double gigabytes, Timed const& reference) const {
    if (!world_.root()) return;
    std::printf("%-34s %10.3f ms %8.2f GB/s %10.2f x\n", name_, median(),
                gigabytes / (median() / 1e3), reference.median() / median());
  }

 private:
  World const& world_;
  char const* name_;
  std::vector<double> turns_;
};

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  world.set_threads();
  Bytes const whole_bytes = (argc > 1 ? std::atoll(argv[1]) : 64) * 1_MiB;
  int const ranks = world.size(), s = world.domain();
  auto const part = std::int64_t(whole_bytes / Bytes(sizeof(float)) / ranks);
  std::int64_t const count = part * ranks;
  Domain domain(world, s, (s + 1) * count * Bytes(sizeof(float)));
  Collective collective(world, domain);
  auto const peer = [&](int l) { return reinterpret_cast<float*>(domain.base()) + l * count; };
  float* const own = peer(domain.local());
  float* const weights = peer(s);
  auto const elements = [](std::int64_t n) { return std::vector<float>(std::size_t(n)); };
  auto out = elements(part), room = elements((ranks - s) * part), gathered = elements(count);
  std::fill_n(own, count, float(world.rank() + 1));
  std::fill_n(weights + world.rank() * part, part, 1.f);

  Timed ours_scatter(world, "reduce-scatter, by halves"),
      mpi_scatter(world, "MPI_Reduce_scatter_block");
  Timed ours_gather(world, "gather in place, with its barrier"), barrier(world, "one barrier");
  Timed mpi_gather(world, "MPI_Allgather");
  for (int turn = 0; turn < 15; ++turn) {
    ours_scatter.turn([&] {
      domain.barrier();
      collective.reduce<float>(out.data(), false, part, peer, room);
      domain.barrier();
    });
    mpi_scatter.turn([&] {
      MPI_Reduce_scatter_block(own, out.data(), int(part), MPI_FLOAT, MPI_SUM, world.comm());
    });
    ours_gather.turn([&] {
      collective.gather(reinterpret_cast<std::byte*>(weights), part * Bytes(sizeof(float)));
      domain.barrier();
    });
    barrier.turn([&] { domain.barrier(); });
    mpi_gather.turn([&] {
      MPI_Allgather(weights + world.rank() * part, int(part), MPI_FLOAT, gathered.data(), int(part),
                    MPI_FLOAT, world.comm());
    });
  }
  double const gigabytes = double(count) * sizeof(float) / 1e9;
  if (world.root())
    std::printf("%d ranks, domains of %d, %lld MiB, medians of 15; x: MPI's time / this one\n",
                ranks, s, static_cast<long long>(whole_bytes / 1_MiB));
  ours_scatter.print(gigabytes, mpi_scatter);
  mpi_scatter.print(gigabytes, mpi_scatter);
  ours_gather.print(gigabytes, mpi_gather);
  barrier.print(0, mpi_gather);
  mpi_gather.print(gigabytes, mpi_gather);
}
