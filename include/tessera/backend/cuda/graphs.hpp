/// Work that is captured the first time and replayed from then on.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/core/function_ref.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera::inline TESSERA_SETTING::cuda {

/// Allocates when it captures: in the steps that see a pass for the first time.
class Graphs {
 public:
  Graphs() = default;
  Graphs(Graphs const&) = delete;
  Graphs& operator=(Graphs const&) = delete;
  ~Graphs() {
    for (Captured const& c : captured_) cudaGraphExecDestroy(c.graph);
  }

  /// Nothing in `work` may wait for the stream.
  void repeat(std::span<std::uint64_t const> key, cudaStream_t stream, FunctionRef<void()> work) {
    auto const at = std::lower_bound(captured_.begin(), captured_.end(), key,
                                     [](Captured const& c, std::span<std::uint64_t const> k) {
                                       return std::ranges::lexicographical_compare(c.key, k);
                                     });
    bool const known = at != captured_.end() && std::ranges::equal(at->key, key);
    cudaGraphExec_t const graph =
        known ? at->graph
              : captured_.insert(at, {{key.begin(), key.end()}, capture(stream, work)})->graph;
    check(cudaGraphLaunch(graph, stream), "cudaGraphLaunch");
  }

 private:
  struct Captured {
    std::vector<std::uint64_t> key;
    cudaGraphExec_t graph;
  };

  static cudaGraphExec_t capture(cudaStream_t stream, FunctionRef<void()> work) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    work();
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    cudaGraphExec_t exec = nullptr;
    cudaError_t const code = cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    check(code, "cudaGraphInstantiate");
    return exec;
  }

  std::vector<Captured> captured_;  // by key
};

}  // namespace tessera::inline TESSERA_SETTING::cuda

#endif
