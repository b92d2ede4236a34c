/// Attention on a GPU by the library's own kernels: any width up to 256, any mask.
#pragma once

#include <tessera/backend/attention_call.hpp>
#include <tessera/backend/cuda/cuda.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/kernels/attention_rows.hpp>

namespace tessera::inline TESSERA_SETTING {

struct OwnAttention {
  AttentionTask task;

  /// Backward: dy y of every query.
  static constexpr Bytes workspace(AttentionTask const& t) {
    AttentionShape const& s = t.shape;
    return t.backward ? aligned(s.batch * s.heads * s.tokens * Bytes(sizeof(Real))) : 0;
  }
  /// There is none, and nothing to say of it.
  static constexpr std::string_view choice(AttentionTask const&) { return {}; }
  std::string_view remark() const { return {}; }
  bool by_cudnn() const { return false; }

  void forward(AttentionOperands const& x, void*, void* queue) const {
    with_type([&]<class T>(T) {
      CudaTeam::on(queue).run(kernel::AttentionByQuery<T>{.y = static_cast<T*>(x.y),
                                                          .log_sum = x.log_sum,
                                                          .qkv = static_cast<T const*>(x.qkv),
                                                          .s = task.shape,
                                                          .documents = x.documents});
    });
  }

  void backward(AttentionOperands const& x, void const* dy, void* dqkv, void* workspace,
                void* queue) const {
    with_type([&]<class T>(T) {
      CudaTeam const team = CudaTeam::on(queue);
      auto const *const slope = static_cast<T const*>(dy), *const qkv =
                                                               static_cast<T const*>(x.qkv);
      auto* const own = static_cast<Real*>(workspace);
      team.run(kernel::AttentionQueryGradient<T>{.dqkv = static_cast<T*>(dqkv),
                                                 .own = own,
                                                 .dy = slope,
                                                 .qkv = qkv,
                                                 .y = static_cast<T const*>(x.y),
                                                 .log_sum = x.log_sum,
                                                 .s = task.shape,
                                                 .documents = x.documents});
      team.run(kernel::AttentionKeyGradient<T>{.dqkv = static_cast<T*>(dqkv),
                                               .own = own,
                                               .dy = slope,
                                               .qkv = qkv,
                                               .log_sum = x.log_sum,
                                               .s = task.shape,
                                               .documents = x.documents});
    });
  }

 private:
  template <class F>
  void with_type(F const& f) const {
    if (task.shape.width > kernel::detail::widest_head)
      throw Error("attention on a GPU: heads are at most " +
                  std::to_string(kernel::detail::widest_head) + " wide, not " +
                  std::to_string(task.shape.width) + "; use more heads");
    if constexpr (sizeof(Real) == sizeof(float)) {
      if (task.type == DType::bf16) return f(bf16{});
      if (task.type == DType::fp16) return f(fp16{});
    }
    f(Real{});
  }
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
