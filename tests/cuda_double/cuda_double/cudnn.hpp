/// A double of cuDNN and of its frontend's graphs, which are a header, so that nothing can be
/// linked in their place: what backend/cuda/cudnn.hpp includes instead, and what tests ask of it.
/// The names are cuDNN's.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#define CUDNN_VERSION 91900

enum cudnnStatus_t { CUDNN_STATUS_SUCCESS = 0, CUDNN_STATUS_NOT_INITIALIZED = 1001 };
using cudnnHandle_t = struct cudnnContext*;

std::size_t cudnnGetVersion();
char const* cudnnGetErrorString(cudnnStatus_t status);
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle);
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle);
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream);

namespace cudnn_frontend {

enum class error_code_t { OK, INVALID, GRAPH_NOT_SUPPORTED, INVALID_VARIANT_PACK, API_FAILED };
enum class DataType_t { NOT_SET, FLOAT, HALF, BFLOAT16 };
enum class HeurMode_t { A, B, FALLBACK };
enum class DiagonalAlignment_t { TOP_LEFT, BOTTOM_RIGHT };

struct [[nodiscard]] error_t {
  error_code_t code = error_code_t::OK;
  std::string message;
  bool is_bad() const { return code != error_code_t::OK; }
  std::string get_message() { return message; }
};

namespace graph {

struct Tensor_attributes {
  std::int64_t uid = 0;
  std::vector<std::int64_t> dim, stride;
  DataType_t type = DataType_t::NOT_SET;
  bool output = false;

  auto& set_uid(std::int64_t x) { return uid = x, *this; }
  auto& set_dim(std::vector<std::int64_t> const& x) { return dim = x, *this; }
  auto& set_stride(std::vector<std::int64_t> const& x) { return stride = x, *this; }
  auto& set_data_type(DataType_t x) { return type = x, *this; }
  auto& set_output(bool x) { return output = x, *this; }
};
using Tensor = std::shared_ptr<Tensor_attributes>;

/// What both passes are told of scores.
struct Scores {
  std::optional<float> scale;
  std::optional<DiagonalAlignment_t> alignment;
  std::optional<std::int64_t> left, right;
};
template <class Own>
struct Attributes {
  Scores scores;

  Own& set_name(std::string const&) { return own(); }
  Own& set_attn_scale(float x) { return scores.scale = x, own(); }
  Own& set_diagonal_alignment(DiagonalAlignment_t x) { return scores.alignment = x, own(); }
  Own& set_diagonal_band_left_bound(int x) { return scores.left = x, own(); }
  Own& set_diagonal_band_right_bound(int x) { return scores.right = x, own(); }

 private:
  Own& own() { return static_cast<Own&>(*this); }
};
struct SDPA_attributes : Attributes<SDPA_attributes> {
  bool stats = false;
  auto& set_generate_stats(bool x) { return stats = x, *this; }
};
struct SDPA_backward_attributes : Attributes<SDPA_backward_attributes> {
  bool deterministic = false;
  auto& set_deterministic_algorithm(bool x) { return deterministic = x, *this; }
};

/// Of one node.
class Graph {
 public:
  Graph& set_io_data_type(DataType_t x) { return io_ = x, *this; }
  Graph& set_intermediate_data_type(DataType_t x) { return intermediate_ = x, *this; }
  Graph& set_compute_data_type(DataType_t x) { return compute_ = x, *this; }
  Graph& set_sm_version(int) { return *this; }
  Graph& deselect_workspace_greater_than(std::int64_t x) { return most_ = x, *this; }

  Tensor tensor(Tensor_attributes const& x) const { return std::make_shared<Tensor_attributes>(x); }
  std::array<Tensor, 2> sdpa(Tensor q, Tensor k, Tensor v, SDPA_attributes attributes);
  std::array<Tensor, 3> sdpa_backward(Tensor q, Tensor k, Tensor v, Tensor o, Tensor d_o,
                                      Tensor stats, SDPA_backward_attributes attributes);

  error_t build(cudnnHandle_t handle, std::vector<HeurMode_t> const& modes);
  error_t get_workspace_size(std::int64_t& bytes) const;
  error_t execute(cudnnHandle_t handle, std::unordered_map<std::int64_t, void*>& pointers,
                  void* workspace) const;

 private:
  std::string fault() const;

  DataType_t io_ = DataType_t::NOT_SET, intermediate_ = DataType_t::NOT_SET,
             compute_ = DataType_t::NOT_SET;
  std::int64_t most_ = INT64_MAX, workspace_ = -1;
  bool backward_ = false, stats_ = false, deterministic_ = false;
  Scores scores_;
  std::vector<Tensor> tensors_;  // q, k, v, o, stats; or q, k, v, o, d_o, stats, dq, dk, dv
};

}  // namespace graph
}  // namespace cudnn_frontend

namespace cuda_double {

/// From now on no graph has a plan, and this is why; empty: again they have.
void refuse_graphs(std::string const& why);
/// From now on a plan needs so many bytes of workspace more.
void want_workspace(std::int64_t more);
/// Contexts that are not destroyed yet; graphs that have run since the program began.
long cudnn_contexts();
long graphs_run();

}  // namespace cuda_double
