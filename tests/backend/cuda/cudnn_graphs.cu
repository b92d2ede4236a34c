/// Every kind of graph that attention makes, shown to cuDNN's own frontend: does it accept tensors,
/// strides, types, scale and masks, on each GPU? Nothing is planned or run, so no GPU is needed.
#include <tessera/backend/cuda/attention.hpp>

#include <cstdio>
#include <initializer_list>

using namespace tessera;

namespace {

int failed = 0, passed = 0;

void check(AttentionTask const& task, int architecture) {
  if (!cudnn::asks(task)) {
    ++failed;
    std::printf("FAILED: cuDNN is not asked %s\n", task.text().c_str());
    return;
  }
  cudnn::Description const made(task, cudnn::piece_of(task), architecture);
  cudnn::fe::error_t told = made.graph->validate();
  told.is_bad() ? ++failed : ++passed;
  if (told.is_bad())
    std::printf("FAILED: sm_%d, %s: %s\n", architecture, task.text().c_str(),
                told.get_message().c_str());
}

}  // namespace

int main() {
  for (int const architecture : {80, 90, 100})
    for (DType const type : {DType::bf16, DType::fp16})
      for (bool const backward : {false, true})
        for (bool const causal : {true, false})
          for (std::int64_t const window : {0, 128})
            for (AttentionShape s :
                 {AttentionShape{4, 1024, 12, 12, 64}, AttentionShape{2, 4096, 32, 8, 128},
                  AttentionShape{3, 500, 6, 3, 40}}) {
              s.causal = causal, s.window = window;
              check({s, type, backward}, architecture);
            }
  std::printf("cuDNN %zu with its frontend %d: %d graphs accepted, %d refused\n", cudnnGetVersion(),
              CUDNN_FRONTEND_VERSION, passed, failed);
  return failed != 0;
}
