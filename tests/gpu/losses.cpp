// cuda
// timeout: 240
/// A GPU learns what cores learn: losses in every precision beside tests/fixtures/gpu_losses.txt,
/// graphs beside plain launches, and the plan's memory beside what the GPU has given. tests/gpu.sh
/// runs it on a GPU, the suite on the doubles.
#include <tessera/backend/cuda/launch.hpp>

#include "losses.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

bool failed = false;

void say(bool good, char const* what, double is, double most) {
  std::printf("%s  %-40s %.2e of %.2e\n", good ? "passed" : "FAILED", what, is, most);
  failed = failed || !good;
}

template <class T>
void check(World& world, char const* name, double most) {
  std::vector<Learned> const plain = learn<On<Cuda>, Precision<T>>(world),
                             graphs = learn<On<Cuda>, Precision<T>, Graphs>(world);
  double const apart = worst(plain, expected("tests/fixtures/gpu_losses.txt", name));
  say(apart < most, (std::string(name) + ", beside cores").c_str(), apart, most);
  say(plain.back().loss < 0.9 * plain.front().loss, (std::string(name) + ", learns").c_str(),
      plain.back().loss / plain.front().loss, 0.9);
  double const replayed = worst(graphs, plain);
  say(replayed == 0, (std::string(name) + ", graphs beside launches").c_str(), replayed, 0);
}

std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

void check_memory(World& world) {
  { Trainer<SmallGpt, Batch<4, 32>, AdamW, On<Cuda>> const first(world); }  // libraries' own
  std::size_t const before = free_bytes();
  Trainer<SmallGpt, Batch<4, 32>, AdamW, On<Cuda>> trainer(world);
  trainer.step(Sequences{});
  double const taken = double(before) - double(free_bytes());
  double const planned = double(place(trainer.plan()).private_bytes());
  // The driver gives whole pages of 2 MiB, one for each allocation.
  double const most = planned + 8.0 * (1 << 21);
  say(taken <= most, "bytes that a trainer takes of the GPU", taken, most);
}

}  // namespace

/// --short: one precision, for tools under which a program is slow.
int main(int argc, char** argv) {
  World world(argc, argv);
  if (argc > 1 && std::string(argv[1]) == "--short") {
    check<bf16>(world, "bf16", 0x1p-8);
    return failed ? 1 : 0;
  }
  check<float>(world, "float", 2e-5);
  check<bf16>(world, "bf16", 0x1p-8);  // one rounding of a value
  check<fp16>(world, "fp16", 0x1p-10);
  check_memory(world);
  return failed ? 1 : 0;
}
