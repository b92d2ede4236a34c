/// Attention as graphs of cuDNN: of one piece of the packed operands, planned once, run on any.
#pragma once

#include <tessera/backend/cuda/cudnn.hpp>
#include <tessera/backend/cuda/cudnn_pieces.hpp>
#include <tessera/backend/cuda/per_device.hpp>

#if defined(TESSERA_CUDNN) && (defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE))

#include <array>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>

namespace tessera::inline TESSERA_SETTING::cudnn {

/// Operands of a graph, by the numbers that it knows them by.
enum class Operand : std::int64_t { q = 1, k, v, y, log_sum, dy, dq, dk, dv };

/// What is computed of one piece, before there is a GPU to plan it for. `pointers` has a key for
/// each operand.
class Description {
 public:
  using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

  /// architecture: that it is planned for, as in sm_90: 90; 0: the current device's
  Description(AttentionTask const& task, Piece const& piece, int architecture = 0)
      : task_(task), piece_(piece) {
    if (architecture > 0) graph->set_sm_version(architecture);
    graph
        ->set_io_data_type(task.type == DType::bf16 ? fe::DataType_t::BFLOAT16
                                                    : fe::DataType_t::HALF)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    task.backward ? backward() : forward();
  }

  std::shared_ptr<fe::graph::Graph> graph = std::make_shared<fe::graph::Graph>();
  std::unordered_map<std::int64_t, void*> pointers;

 private:
  std::int64_t keys() const { return piece_.kv_heads; }
  std::int64_t queries() const { return piece_.kv_heads * task_.shape.group(); }

  /// [sequences, heads, tokens, width], tokens `row` elements apart and heads side by side.
  fe::graph::Tensor_attributes& laid_out(fe::graph::Tensor_attributes& t, Operand o,
                                         std::int64_t heads, std::int64_t row) {
    AttentionShape const& s = task_.shape;
    pointers[std::int64_t(o)] = nullptr;
    return t.set_uid(std::int64_t(o))
        .set_dim({piece_.sequences, heads, s.tokens, s.width})
        .set_stride({s.tokens * row, s.width, row, 1});
  }
  Tensor input(Operand o, std::int64_t heads, std::int64_t row) {
    fe::graph::Tensor_attributes t;
    return graph->tensor(laid_out(t, o, heads, row));
  }
  /// The log-sum-exp of scores, [sequences, heads, tokens, 1] in float.
  fe::graph::Tensor_attributes& of_rows(fe::graph::Tensor_attributes& t) {
    std::int64_t const tokens = task_.shape.tokens;
    pointers[std::int64_t(Operand::log_sum)] = nullptr;
    return t.set_uid(std::int64_t(Operand::log_sum))
        .set_dim({piece_.sequences, queries(), tokens, 1})
        .set_stride({queries() * tokens, tokens, 1, 1})
        .set_data_type(fe::DataType_t::FLOAT);
  }

  /// Scale and mask: a query sees the keys in (query - left, query + right].
  template <class Attributes>
  void mask(Attributes& a) const {
    AttentionShape const& s = task_.shape;
    a.set_attn_scale(1 / std::sqrt(float(s.width)));
    if (!s.causal && s.window == 0) return;
    a.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT);
    a.set_diagonal_band_right_bound(int(s.causal ? 0 : s.window - 1));
    if (s.window > 0) a.set_diagonal_band_left_bound(int(s.window));
  }

  std::array<Tensor, 3> packed() {
    std::int64_t const row = task_.shape.packed();
    return {input(Operand::q, queries(), row), input(Operand::k, keys(), row),
            input(Operand::v, keys(), row)};
  }
  void forward() {
    auto const [q, k, v] = packed();
    fe::graph::SDPA_attributes attributes;
    attributes.set_name("attention").set_generate_stats(true);
    mask(attributes);
    auto const [y, log_sum] = graph->sdpa(q, k, v, attributes);
    laid_out(y->set_output(true), Operand::y, queries(), task_.shape.all());
    of_rows(log_sum->set_output(true));
  }
  void backward() {
    std::int64_t const row = task_.shape.packed(), plain = task_.shape.all();
    auto const [q, k, v] = packed();
    Tensor const y = input(Operand::y, queries(), plain), dy = input(Operand::dy, queries(), plain);
    fe::graph::Tensor_attributes sums;
    Tensor const log_sum = graph->tensor(of_rows(sums));
    fe::graph::SDPA_backward_attributes attributes;
    attributes.set_name("attention_dx").set_deterministic_algorithm(true);
    mask(attributes);
    auto const [dq, dk, dv] = graph->sdpa_backward(q, k, v, y, dy, log_sum, attributes);
    laid_out(dq->set_output(true), Operand::dq, queries(), row);
    laid_out(dk->set_output(true), Operand::dk, keys(), row);
    laid_out(dv->set_output(true), Operand::dv, keys(), row);
  }

  AttentionTask task_;
  Piece piece_;
};

/// One graph, planned for the current device. Throws Refusal if cuDNN has no plan, or none within
/// the room.
class Graph {
 public:
  Graph(AttentionTask const& task, Piece const& piece, Bytes room)
      : task_(task), context_(cuda::of_current_device<Context>()), description_(task, piece) {
    try {
      plan(room);
    } catch (std::exception const& error) {
      throw Refusal{error.what()};
    }
  }

  /// Where an operand begins, for the next run().
  void place(Operand o, void const* at) {
    description_.pointers[std::int64_t(o)] = const_cast<void*>(at);
  }
  /// Behind what the stream has to do already.
  void run(void* workspace, cudaStream_t stream) {
    check(cudnnSetStream(context_->get(), stream), "cudnnSetStream");
    fe::error_t told =
        description_.graph->execute(context_->get(), description_.pointers, workspace);
    if (told.is_bad()) throw DeviceError(task_.text() + ": cuDNN: " + told.get_message());
  }

 private:
  void plan(Bytes room) {
    fe::graph::Graph& graph = *description_.graph;
    graph.deselect_workspace_greater_than(room);
    asked(graph.build(context_->get(), {fe::HeurMode_t::A}));
    std::int64_t bytes = 0;
    asked(graph.get_workspace_size(bytes));
    if (bytes > room)
      throw Refusal{"it wants " + std::to_string(bytes) + " bytes of workspace, and the plan has " +
                    std::to_string(room)};
  }

  AttentionTask task_;
  std::shared_ptr<Context const> context_;
  Description description_;
};

}  // namespace tessera::inline TESSERA_SETTING::cudnn

#endif
