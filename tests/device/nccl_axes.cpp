// cuda
// ranks: 4
/// Communicators of several axes at once, and who of them ends when.
#include <tessera/backend/cuda/memory.hpp>

#include <cuda_double/api.hpp>
#include <cuda_double/nccl.hpp>

#include <string>

#include "run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr Mesh mesh{.data = 2, .tensor = 2};
constexpr std::size_t n = 500;

/// Floats of this rank on its device: `value`, and room for a gather's and a reduce's results.
struct Numbers {
  cuda::OwnStream stream{0};
  cuda::DeviceMemory device{Bytes(5 * n * sizeof(float)), stream.get()};
  cuda::PinnedMemory host{Bytes(2 * n * sizeof(float))};

  float* at(std::size_t i) const { return reinterpret_cast<float*>(device.get()) + i * n; }
  float* seen() const { return reinterpret_cast<float*>(host.get()); }
  void set(float value) {
    for (std::size_t i = 0; i < 2 * n; ++i) seen()[i] = value;
    copy(at(0), seen(), 2 * n, cudaMemcpyHostToDevice);
  }
  void copy(void* to, void const* from, std::size_t count, cudaMemcpyKind kind) {
    cuda::check(cudaMemcpyAsync(to, from, count * sizeof(float), kind, stream.get()),
                "cudaMemcpyAsync");
    cuda::check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
  }
  bool hold(std::size_t at_block, float value) {
    copy(seen(), at(at_block), n, cudaMemcpyDeviceToHost);
    for (std::size_t i = 0; i < n; ++i)
      if (seen()[i] != value) return false;
    return true;
  }
  void gather_and_reduce(cuda::Nccl& axis) {
    axis.all_gather(reinterpret_cast<std::byte*>(at(0)), reinterpret_cast<std::byte*>(at(2)),
                    Bytes(n * sizeof(float)), stream.get());
    axis.reduce_scatter(at(0), at(4), std::int64_t(n), stream.get());
  }
};

}  // namespace

TEST_CASE("collectives of two axes do not mix, whichever comes first") {
  REQUIRE(world().size() == mesh.ranks());
  int const me = world().rank();
  {
    Watch watch(world());
    cuda::Nccl all(world(), watch);
    cuda::Nccl data(all, mesh.data_axis(me), mesh.data_index(me), mesh.data);
    cuda::Nccl tensor(all, me / mesh.tensor, me % mesh.tensor, mesh.tensor);
    CHECK(cuda_double::communicators().size() == 3);
    Numbers across, beside;
    for (int turn = 0; turn < 20; ++turn) {
      float const base = 10.0f * float(turn);
      across.set(base + float(me)), beside.set(base + float(me));
      if ((me + turn) % 3 == 0) {
        beside.gather_and_reduce(tensor);
        across.gather_and_reduce(data);
      } else {
        across.gather_and_reduce(data);
        beside.gather_and_reduce(tensor);
      }
      float const first = base + float(me % 2), left = base + float(me / 2 * 2);
      CHECK(across.hold(2, first));
      CHECK(across.hold(3, first + 2));
      CHECK(across.hold(4, 2 * first + 2));
      CHECK(beside.hold(2, left));
      CHECK(beside.hold(3, left + 1));
      CHECK(beside.hold(4, 2 * left + 1));
    }
    all.check(), data.check(), tensor.check();
  }
  CHECK(cuda_double::communicators().empty());
}

TEST_CASE("an exception, or a split that fails, leaves no communicator") {
  Watch watch(world());
  int const me = world().rank();
  auto const start = [&] {
    cuda::Nccl all(world(), watch);
    cuda::Nccl const data(all, 0, me, world().size());
    throw Error("what else may fail");
  };
  CHECK(contains(refusal(start), "what else may fail"));
  CHECK(cuda_double::communicators().empty());
  cuda_double::fail_next("ncclCommSplit", ncclSystemError);
  std::string const text = refusal(start);
  CAPTURE(text);
  CHECK(contains(text, "ncclCommSplit: unhandled system error"));
  CHECK(cuda_double::communicators().empty());
}

TEST_CASE("a step sees that a communicator has failed: the world's, or the axis'") {
  for (std::size_t const which : {0u, 1u}) {
    CAPTURE(which);
    std::string const text = refusal([&] {
      Trainer<Small, Batch<1, 8>, AdamW, On<Cuda>, Zero<3>> trainer(world());
      trainer.step(Counting{});
      auto const made = cuda_double::communicators();
      REQUIRE(made.size() == 2);
      cuda_double::fail_later(made[which], ncclRemoteError, "its cable is out");
      cuda_double::delay(500);
      trainer.step(Counting{});
    });
    cuda_double::delay(0);
    CAPTURE(text);
    CHECK(contains(text, "its cable is out"));
    CHECK(cuda_double::communicators().empty());
  }
}
