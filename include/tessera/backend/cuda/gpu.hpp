/// Which GPU a rank works on, and whether it can: all ranks refuse together, in one sentence.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/core/bytes.hpp>
#include <tessera/run/world.hpp>

#include <optional>
#include <string>

namespace tessera::inline TESSERA_SETTING::cuda {

/// Ranks of a machine take its GPUs in their order. Construction is collective over the world.
class Gpu {
 public:
  /// needs: bytes that the plan will take on it.
  Gpu(World const& world, Bytes needs) {
    world.agree(choose(world));
    world.agree(check_memory(needs));
    check_alike(world);
  }

  int index() const { return index_; }
  /// As in sm_90: 90.
  int architecture() const { return architecture_; }

 private:
  std::optional<std::string> choose(World const& world) {
    int count = 0, driver = 0, runtime = 0;
    cudaError_t const code = cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
      return std::string(
          "On<Cuda>: this machine has no GPU driver (nvidia-smi shows one); start on "
          "one that has, or use On<Cpu>");
    if (code == cudaErrorInsufficientDriver || driver / 1000 < runtime / 1000)
      return "the GPU driver is for CUDA " + version(driver) + " and this program for " +
             version(runtime) + "; update the driver or build with an older toolkit";
    if (code != cudaSuccess || count == 0)
      return std::string("On<Cuda>: there is no GPU here (") + cudaGetErrorString(code) +
             "); start where nvidia-smi lists one, or use On<Cpu>";
    if (world.node_size() > count)
      return std::to_string(world.node_size()) + " ranks on a machine with " +
             std::to_string(count) + (count == 1 ? " GPU" : " GPUs") +
             "; start as many ranks as there are GPUs (mpirun --map-by ppr:" +
             std::to_string(count) + ":node)";
    index_ = world.node_rank();
    return told([&] {
      int major = 0, minor = 0;
      check(cudaSetDevice(index_), "cudaSetDevice");
      check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index_),
            "cudaDeviceGetAttribute");
      check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index_),
            "cudaDeviceGetAttribute");
      architecture_ = 10 * major + minor;
    });
  }

  std::optional<std::string> check_memory(Bytes needs) const {
    std::size_t free = 0, total = 0;
    if (auto const problem = told([&] { check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo"); }))
      return problem;
    if (needs <= Bytes(free)) return {};
    return "the plan takes " + std::to_string(needs) + " bytes and GPU " + std::to_string(index_) +
           " has " + std::to_string(free) + " free of " + std::to_string(total) +
           "; raise Zero<Stage>, use more ranks, or lower Batch<Sequences, Tokens>";
  }

  /// What failed, for all ranks to hear.
  template <class Calls>
  static std::optional<std::string> told(Calls const& calls) {
    try {
      calls();
    } catch (DeviceError const& error) {
      return error.sentence();
    }
    return {};
  }

  /// Different GPUs would round differently, and wait for the slowest.
  void check_alike(World const& world) const {
    int least[2] = {architecture_, -architecture_};
    mpi::check(MPI_Allreduce(MPI_IN_PLACE, least, 2, MPI_INT, MPI_MIN, world.comm()),
               "MPI_Allreduce");
    if (least[0] != -least[1])
      throw Error("the ranks' GPUs are of different kinds (sm_" + std::to_string(least[0]) +
                      " and sm_" + std::to_string(-least[1]) + "); start on equal ones",
                  true);
  }

  static std::string version(int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  }

  int index_ = 0, architecture_ = 0;
};

}  // namespace tessera::inline TESSERA_SETTING::cuda

#endif
