/// Memory of a GPU, and of the host where a GPU copies without waiting. Taken before step 0.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/core/bytes.hpp>

#include <cstddef>
#include <cstring>
#include <utility>

namespace tessera::inline TESSERA_SETTING::cuda {

/// Zeroed when the stream gets there.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Bytes bytes, cudaStream_t stream) {
    if (bytes == 0) return;
    void* at = nullptr;
    check(cudaMalloc(&at, std::size_t(bytes)), "cudaMalloc");
    at_ = static_cast<std::byte*>(at);
    check(cudaMemsetAsync(at_, 0, std::size_t(bytes), stream), "cudaMemsetAsync");
  }
  DeviceMemory(DeviceMemory&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(at_, other.at_);
    return *this;
  }
  ~DeviceMemory() { cudaFree(at_); }

  std::byte* get() const { return at_; }

 private:
  std::byte* at_ = nullptr;
};

/// Pages that stay where they are. Zeroed.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(Bytes bytes) {
    if (bytes == 0) return;
    void* at = nullptr;
    check(cudaMallocHost(&at, std::size_t(bytes)), "cudaMallocHost");
    at_ = static_cast<std::byte*>(at);
    std::memset(at_, 0, std::size_t(bytes));
  }
  PinnedMemory(PinnedMemory&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(at_, other.at_);
    return *this;
  }
  ~PinnedMemory() { cudaFreeHost(at_); }

  std::byte* get() const { return at_; }

 private:
  std::byte* at_ = nullptr;
};

}  // namespace tessera::inline TESSERA_SETTING::cuda

#endif
