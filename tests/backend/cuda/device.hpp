/// Streams and device memory of tests, filled and read by way of pinned memory.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tessera::test {

class Stream {
 public:
  Stream() { cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  cudaStream_t get() const { return stream_; }
  void wait() const { cuda::check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Elements on the device, by way of pinned memory; `skipped` bytes before them.
template <class T>
class Buffer {
 public:
  Buffer(std::vector<T> const& from, Stream const& stream, std::size_t skipped = 0)
      : count_(from.size()), skipped_(skipped), stream_(stream) {
    cuda::check(cudaMalloc(reinterpret_cast<void**>(&device_), bytes() + skipped), "cudaMalloc");
    cuda::check(cudaMallocHost(reinterpret_cast<void**>(&host_), bytes()), "cudaMallocHost");
    std::copy(from.begin(), from.end(), host_);
    copy(get(), host_, cudaMemcpyHostToDevice);
  }
  Buffer(Buffer const&) = delete;
  Buffer& operator=(Buffer const&) = delete;
  ~Buffer() {
    cudaFree(device_);
    cudaFreeHost(host_);
  }
  T* get() const { return reinterpret_cast<T*>(device_ + skipped_); }
  std::vector<T> read() const {
    copy(host_, get(), cudaMemcpyDeviceToHost);
    return {host_, host_ + count_};
  }

 private:
  std::size_t bytes() const { return count_ * sizeof(T); }
  void copy(void* to, void const* from, cudaMemcpyKind kind) const {
    cuda::check(cudaMemcpyAsync(to, from, bytes(), kind, stream_.get()), "cudaMemcpyAsync");
    stream_.wait();
  }

  std::size_t count_, skipped_;
  Stream const& stream_;
  std::byte* device_ = nullptr;
  T* host_ = nullptr;
};

}  // namespace tessera::test
