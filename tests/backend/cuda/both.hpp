/// A kernel on a GPU's double, by blocks and by warps, beside the same kernel on cores: the same
/// bits, in every operand.
#pragma once

#include <tessera/backend/cpu/team.hpp>
#include <tessera/backend/cuda/memory.hpp>
#include <tessera/backend/cuda/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/device/cuda_streams.hpp>

#include <cstring>
#include <vector>

#include "../../kernels/check.hpp"

namespace tessera::test {

/// Where a kernel finds its operands: in pinned memory, or in a device's.
class Operands {
 public:
  explicit Operands(cudaStream_t stream = nullptr) : stream_(stream) {}

  template <class T>
  T* put(std::vector<T> const& v) {
    if (v.empty()) return nullptr;
    Bytes const bytes = Bytes(v.size() * sizeof(T));
    One& one = all_.emplace_back(One{bytes, cuda::PinnedMemory(bytes), {}});
    std::memcpy(one.host.get(), v.data(), std::size_t(bytes));
    if (!stream_) return reinterpret_cast<T*>(one.host.get());
    one.device = cuda::DeviceMemory(bytes, stream_);
    copy(one.device.get(), one.host.get(), bytes, cudaMemcpyHostToDevice);
    return reinterpret_cast<T*>(one.device.get());
  }
  template <class T>
  View<T> view(std::vector<T> const& v, Shape shape) {
    return {put(v), shape};
  }
  /// What a kernel reads, and what it adds to or must overwrite.
  template <class T>
  View<T> some(Shape shape) {
    return view(values<T>(shape.count(), ++seed_), shape);
  }
  template <class T>
  T* some(std::int64_t n) {
    return put(values<T>(n, ++seed_));
  }
  /// Sums of squares, inverse deviations.
  template <class T>
  T* positive(std::int64_t n) {
    std::vector<T> v = values<T>(n, ++seed_);
    for (T& x : v) x = T(std::abs(float(x)) + 0.25f);
    return put(v);
  }

  void fetch() {
    for (One const& one : all_)
      copy(one.host.get(), one.device.get(), one.bytes, cudaMemcpyDeviceToHost);
    cuda::check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }
  bool operator==(Operands const& other) const {
    bool same = all_.size() == other.all_.size();
    for (std::size_t i = 0; same && i < all_.size(); ++i)
      same = all_[i].bytes == other.all_[i].bytes &&
             std::memcmp(all_[i].host.get(), other.all_[i].host.get(),
                         std::size_t(all_[i].bytes)) == 0;
    return same;
  }

 private:
  struct One {
    Bytes bytes;
    cuda::PinnedMemory host;
    cuda::DeviceMemory device;
  };
  void copy(void* to, void const* from, Bytes bytes, cudaMemcpyKind kind) const {
    cuda::check(cudaMemcpyAsync(to, from, std::size_t(bytes), kind, stream_), "cudaMemcpyAsync");
  }

  cudaStream_t stream_;
  std::uint64_t seed_ = 0;
  std::vector<One> all_;
};

/// make(operands) -> kernel
template <class Make>
void same_everywhere(Make const& make) {
  cuda::OwnStream const stream(0);
  Operands before, cores, blocks(stream.get()), warps(stream.get());
  make(before);
  CpuTeam{}.run(make(cores));
  CudaTeam{stream.get()}.run_on<cuda::BlockThreads>(make(blocks));
  CudaTeam{stream.get()}.run_on<cuda::WarpThreads>(make(warps));
  blocks.fetch();
  warps.fetch();
  CHECK(cores == blocks);
  CHECK(cores == warps);
  CHECK(!(cores == before));
}

}  // namespace tessera::test
