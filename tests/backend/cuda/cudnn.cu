/// A whole trainer with cuDNN's attention, and every kind of graph that attention makes, shown to
/// cuDNN and its frontend without a GPU. The frontend says whether it accepts tensors, strides,
/// types, scale and mask on each GPU; cuDNN, to which a GPU can be described, whether it has an
/// engine whose workspace is within the plan's. cudnn.py builds and runs it.
#include <tessera/tessera.hpp>

#include <cstdio>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

using namespace tessera;

namespace {

struct Described {
  int architecture, processors, shared_memory;
  std::shared_ptr<cudnn::fe::DeviceProperties> properties;

  Described(int sm, int multiprocessors, int shared)
      : architecture(sm), processors(multiprocessors), shared_memory(shared) {
    std::string const text = json();
    auto made = std::make_shared<cudnn::fe::DeviceProperties>();
    cudnn::fe::error_t told =
        made->deserialize(std::vector<std::uint8_t>(text.begin(), text.end()));
    if (told.is_good()) properties = made;
  }

 private:
  /// As cuDNN 9.19 reads it.
  std::string json() const {
    return R"({"version": 1, "cudaDeviceId": 0, "driverVer": 13000, "deviceName": "described",)"
           R"( "totalGlobalMem": 85029158912, "maxGridSize": [2147483647, 65535, 65535],)"
           R"( "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "warpSize": 32,)"
           R"( "maxSharedMemoryPerBlock": 49152, "reservedSharedMemoryPerBlock": 1024,)"
           R"( "maxRegistersPerSM": 65536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024,)"
           R"( "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0,)"
           R"( "supportCoopLaunch": 1, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,)"
           R"( "l2CacheSize": 52428800, "deviceVer": )" +
           std::to_string(architecture * 10) + R"(, "multiProcessorCount": )" +
           std::to_string(processors) + R"(, "maxSharedMemoryPerBlockOptin": )" +
           std::to_string(shared_memory) + "}";
  }
};

int graphs = 0, failed = 0, accepted = 0, planned = 0;

void check(AttentionTask const& task, Described const& gpu) {
  ++graphs;
  cudnn::Piece const piece = cudnn::piece_of(task);
  cudnn::Description const made(task, piece, gpu.architecture);
  std::string why = cudnn::asks(task) ? "" : "cuDNN is not asked";
  auto const good = [&](cudnn::fe::error_t told) {
    if (told.is_bad()) why = told.get_message();
    return why.empty();
  };
  if (why.empty() && good(made.graph->validate())) ++accepted;
  if (why.empty() && gpu.properties) {
    // What the frontend takes of it for itself: a sum per query.
    Bytes const sums =
        piece.sequences * piece.kv_heads * task.shape.group() * task.shape.tokens * 4;
    made.graph->set_device_properties(gpu.properties);
    if (good(made.graph->build_operation_graph()) &&
        good(made.graph->create_execution_plans({cudnn::fe::HeurMode_t::A}))) {
      made.graph->deselect_workspace_greater_than(cudnn::room_of(task, piece) - sums);
      if (good(made.graph->check_support())) ++planned;
    }
  }
  if (why.empty()) return;
  ++failed;
  std::printf("FAILED: sm_%d, %s%s, window %d: %s\n", gpu.architecture, task.text().c_str(),
              task.shape.causal ? ", causal" : "", int(task.shape.window), why.c_str());
}

struct Zeros {
  std::int64_t samples(int) const { return 64; }
  void sample(std::int64_t, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t t = 0; t < in.size(); ++t) in[t] = out[t] = 0;
  }
};

/// Linked with everything it calls; where there is no GPU, it says so.
int train(int argc, char** argv) {
  World world(argc, argv);
  Trainer<Gpt2<2, 64, 2, 256, 32>, Batch<2, 32>, AdamW, Precision<bf16>, On<Cuda>, Graphs> trainer(
      world, {.learning_rate = 1e-3});
  std::printf("%.6f\n", trainer.step(Zeros{}).loss);
  return 0;
}

}  // namespace

/// Any argument: trains.
int main(int argc, char** argv) {
  if (argc > 1) return train(argc, argv);
  for (Described const& gpu :
       {Described(80, 108, 166912), Described(90, 132, 232448), Described(100, 148, 232448)}) {
    if (!gpu.properties && cudnnGetVersion() == 91900) ++failed;  // which has read it before
    for (DType const type : {DType::bf16, DType::fp16})
      for (bool const backward : {false, true})
        for (bool const causal : {true, false})
          for (std::int64_t const window : {0, 128})
            for (AttentionShape s :
                 {AttentionShape{4, 1024, 12, 12, 64}, AttentionShape{2, 4096, 32, 8, 128},
                  AttentionShape{3, 500, 6, 3, 40}, AttentionShape{1, 16384, 8, 8, 128}}) {
              s.causal = causal, s.window = window;
              check({s, type, backward}, gpu);
            }
  }
  std::printf(
      "cuDNN %zu with its frontend %d, of %d graphs: %d accepted, %d with an engine whose "
      "workspace is counted\n",
      cudnnGetVersion(), CUDNN_FRONTEND_VERSION, graphs, accepted, planned);
  return failed != 0;
}
