// cuda
// manual
/// What races.sh builds with a sanitizer and runs: a race of streams is one of threads, there.
///
///   races train     steps of a small model, under mpirun
///   races waits     two streams that an event orders
///   races no-wait   the same without the wait for it
#include "steps.hpp"

#include <string>

using namespace tessera;

namespace {

struct Fill {
  int* to;
  void operator()() const { to[cuda::thread()] = 1; }
};

void two_streams(bool wait) {
  cuda::OwnStream const first(0), second(0);
  cuda::DeviceMemory const numbers(128 * sizeof(int), first.get());
  cuda::PinnedMemory const seen(128 * sizeof(int));
  cuda::Event written;
  cuda::check(cudaStreamSynchronize(first.get()), "cudaStreamSynchronize");
  cuda::launch<128>(first.get(), 1, Fill{reinterpret_cast<int*>(numbers.get())});
  written.record(first.get());
  if (wait) written.hold(second.get());
  cuda::check(cudaMemcpyAsync(seen.get(), numbers.get(), 128 * sizeof(int), cudaMemcpyDeviceToHost,
                              second.get()),
              "cudaMemcpyAsync");
  cuda::check(cudaStreamSynchronize(second.get()), "cudaStreamSynchronize");
  cuda::check(cudaStreamSynchronize(first.get()), "cudaStreamSynchronize");
}

}  // namespace

int main(int argc, char** argv) {
  std::string const what = argc > 1 ? argv[1] : "";
  if (what == "waits" || what == "no-wait") {
    two_streams(what == "waits");
    return 0;
  }
  test::train(argc, argv);
}
