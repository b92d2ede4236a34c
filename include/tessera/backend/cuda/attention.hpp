/// Attention on a GPU by the library's own kernels: any width up to 256, any mask.
#pragma once

#include <tessera/backend/attention_call.hpp>
#include <tessera/backend/cuda/cuda.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/kernels/attention_rows.hpp>

namespace tessera::inline TESSERA_SETTING {

struct CudaAttention {
  /// dy y of every query, for backward.
  static constexpr Bytes workspace(AttentionShape const& s, DType) {
    return aligned(s.batch * s.heads * s.tokens * Bytes(sizeof(Real)));
  }

  static void forward(AttentionShape const& s, DType type, AttentionOperands const& x, void*,
                      void* queue) {
    with(s, type, [&]<class T>(T) {
      CudaTeam::on(queue).run(kernel::AttentionByQuery<T>{.y = static_cast<T*>(x.y),
                                                          .log_sum = x.log_sum,
                                                          .qkv = static_cast<T const*>(x.qkv),
                                                          .s = s,
                                                          .documents = x.documents});
    });
  }

  static void backward(AttentionShape const& s, DType type, AttentionOperands const& x,
                       void const* dy, void* dqkv, void* workspace, void* queue) {
    with(s, type, [&]<class T>(T) {
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
                                                 .s = s,
                                                 .documents = x.documents});
      team.run(kernel::AttentionKeyGradient<T>{.dqkv = static_cast<T*>(dqkv),
                                               .own = own,
                                               .dy = slope,
                                               .qkv = qkv,
                                               .log_sum = x.log_sum,
                                               .s = s,
                                               .documents = x.documents});
    });
  }

 private:
  template <class F>
  static void with(AttentionShape const& s, DType type, F const& f) {
    if (s.width > kernel::detail::widest_head)
      throw Error("attention on a GPU: heads are at most " +
                  std::to_string(kernel::detail::widest_head) + " wide, not " +
                  std::to_string(s.width) + "; use more heads");
    if constexpr (sizeof(Real) == sizeof(float)) {
      if (type == DType::bf16) return f(bf16{});
      if (type == DType::fp16) return f(fp16{});
    }
    f(Real{});
  }
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
