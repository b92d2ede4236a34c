// cuda
// manual
/// What races.sh builds with a sanitizer and runs: a race of streams is one of threads, there.
///
///   races train     steps of a small model, under mpirun
///   races waits     two streams that an event orders; waits-captured: in a graph
///   races no-wait   the same without the wait for it; no-wait-captured
#include "steps.hpp"

#include <string_view>

using namespace tessera;

namespace {

struct Fill {
  int* to;
  void operator()() const { to[cuda::thread()] = 1; }
};

/// One stream writes what another one reads; alone, or captured from the first one's beginning to
/// the other's end.
void two_streams(bool wait, bool captured) {
  cuda::OwnStream const first(0), second(0);
  cuda::DeviceMemory const numbers(128 * sizeof(int), first.get());
  cuda::PinnedMemory const seen(128 * sizeof(int));
  cuda::Event begun, written, read;
  cuda::check(cudaStreamSynchronize(first.get()), "cudaStreamSynchronize");
  auto const work = [&] {
    if (captured) begun.record(first.get()), begun.hold(second.get());
    cuda::launch<128>(first.get(), 1, Fill{reinterpret_cast<int*>(numbers.get())});
    written.record(first.get());
    if (wait) written.hold(second.get());
    cuda::check(cudaMemcpyAsync(seen.get(), numbers.get(), 128 * sizeof(int),
                                cudaMemcpyDeviceToHost, second.get()),
                "cudaMemcpyAsync");
    if (captured) read.record(second.get()), read.hold(first.get());
  };
  cuda::Graphs graphs;
  if (captured)
    graphs.repeat({}, first.get(), work);
  else
    work();
  cuda::check(cudaStreamSynchronize(second.get()), "cudaStreamSynchronize");
  cuda::check(cudaStreamSynchronize(first.get()), "cudaStreamSynchronize");
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view const what = argc > 1 ? argv[1] : "";
  if (what == "train") test::train(argc, argv);
  if (what.starts_with("waits")) two_streams(true, what == "waits-captured");
  if (what.starts_with("no-wait")) two_streams(false, what == "no-wait-captured");
}
