/// Attention on a GPU by cuDNN, and by the library's own kernels what it does not do: decided when
/// it is made, before anything runs.
#pragma once

#include <tessera/backend/cuda/cudnn_graph.hpp>
#include <tessera/backend/cuda/own_attention.hpp>

#if defined(TESSERA_CUDNN) && (defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE))

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// The same bits in every run: cuDNN's gradients are summed in an order that does not change.
class CudnnAttention {
 public:
  static constexpr Bytes workspace(AttentionTask const& t, cudnn::Limits const& limits = {}) {
    return std::max(OwnAttention::workspace(t), cudnn::workspace_of(t, limits));
  }
  /// Who computes it unless cuDNN refuses, for the plan's text.
  static constexpr std::string_view choice(AttentionTask const& t) { return cudnn::choice(t); }

  explicit CudnnAttention(AttentionTask const& task, cudnn::Limits const& limits = {})
      : own_{task}, piece_(cudnn::piece_of(task, limits)) {
    if (!cudnn::asks(task, limits)) return;
    try {
      graph_.emplace(task, piece_, cudnn::workspace_of(task, limits));
    } catch (cudnn::Refusal const& refusal) {
      remark_ = "cuDNN refuses " + task.text() +
                ", so the library's own kernels do it, which are slower; " + refusal.why;
    }
  }

  /// What did not go as the plan's text says; empty: nothing.
  std::string const& remark() const { return remark_; }
  bool by_cudnn() const { return graph_.has_value(); }

  void forward(AttentionOperands const& x, void* workspace, void* queue) {
    if (!graph_) return own_.forward(x, workspace, queue);
    using enum cudnn::Operand;
    each_piece([&](kernel::detail::HeadPlace const& at, std::int64_t head) {
      place_packed(at, head, x.qkv, q, k, v);
      place(y, x.y, at.plain(head));
      graph_->place(log_sum, x.log_sum + head * own_.task.shape.tokens);
      graph_->run(workspace, static_cast<cudaStream_t>(queue));
    });
  }
  void backward(AttentionOperands const& x, void const* slope, void* dqkv, void* workspace,
                void* queue) {
    if (!graph_) return own_.backward(x, slope, dqkv, workspace, queue);
    using enum cudnn::Operand;
    each_piece([&](kernel::detail::HeadPlace const& at, std::int64_t head) {
      place_packed(at, head, x.qkv, q, k, v);
      place_packed(at, head, dqkv, dq, dk, dv);
      place(y, x.y, at.plain(head));
      place(dy, slope, at.plain(head));
      graph_->place(log_sum, x.log_sum + head * own_.task.shape.tokens);
      graph_->run(workspace, static_cast<cudaStream_t>(queue));
    });
  }

 private:
  /// f(places of heads, the first query head of the piece)
  template <class F>
  void each_piece(F const& f) const {
    AttentionShape const& s = own_.task.shape;
    kernel::detail::HeadPlace const at{s};
    for (std::int64_t b = 0; b < s.batch; b += piece_.sequences)
      for (std::int64_t h = 0; h < s.kv_heads; h += piece_.kv_heads)
        f(at, b * s.heads + h * s.group());
  }
  void place(cudnn::Operand o, void const* base, std::int64_t offset) {
    graph_->place(o, static_cast<std::byte const*>(base) + offset * size_of(own_.task.type));
  }
  void place_packed(kernel::detail::HeadPlace const& at, std::int64_t head, void const* base,
                    cudnn::Operand of_queries, cudnn::Operand of_keys, cudnn::Operand of_values) {
    place(of_queries, base, at.queries(head));
    place(of_keys, base, at.keys(head));
    place(of_values, base, at.values(head));
  }

  OwnAttention own_;
  cudnn::Piece piece_;
  std::optional<cudnn::Graph> graph_;
  std::string remark_;
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
