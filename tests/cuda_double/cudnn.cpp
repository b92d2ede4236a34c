/// The double of cuDNN's attention: plain loops that run on the stream, weights and slopes rounded
/// to 16 bits before they are multiplied, as matrix units take them. It refuses whatever the
/// library's documents do not promise for every GPU.
#include <cuda_double/api.hpp>
#include <cuda_double/cudnn.hpp>
#include <cuda_double/memory.hpp>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <set>

struct cudnnContext {
  std::uint64_t mark;
  int device;
  cudaStream_t stream;
  bool has_stream;
};

namespace {

using namespace cudnn_frontend;
using graph::Tensor_attributes;

constexpr std::uint64_t alive = 0xc0de'0006;
std::atomic<long> contexts, runs;
std::atomic<std::int64_t> more_workspace;
std::mutex refusing;
std::string refusal;

bool lives(cudnnHandle_t handle) {
  int device = -1;
  return handle && handle->mark == alive && cudaGetDevice(&device) == cudaSuccess &&
         device == handle->device;
}

float rounded(float x, DataType_t type) {
  return type == DataType_t::BFLOAT16 ? __bfloat162float(__float2bfloat16(x))
                                      : __half2float(__float2half(x));
}

/// A tensor where it is: rows of 16-bit values, or a float for each.
struct Placed {
  std::vector<std::int64_t> dim, stride;
  DataType_t type;
  char* at;

  std::size_t size() const { return type == DataType_t::FLOAT ? 4 : 2; }
  std::size_t row_bytes() const { return std::size_t(dim[3]) * size(); }
  char* row(std::int64_t b, std::int64_t h, std::int64_t t) const {
    return at + std::size_t(b * stride[0] + h * stride[1] + t * stride[2]) * size();
  }
  template <class F>
  void each_row(F const& f) const {
    for (std::int64_t b = 0; b < dim[0]; ++b)
      for (std::int64_t h = 0; h < dim[1]; ++h)
        for (std::int64_t t = 0; t < dim[2]; ++t) f(b, h, t);
  }
  /// [dim...], dense
  std::vector<float> values() const {
    std::vector<float> all;
    each_row([&](auto... i) {
      char* const from = row(i...);
      cuda_double::read(from, row_bytes(), "cuDNN");
      char const* const bytes = static_cast<char const*>(cuda_double::real(from));
      for (std::int64_t c = 0; c < dim[3]; ++c) {
        float x;
        __nv_bfloat16 b;
        __half h;
        if (type == DataType_t::FLOAT)
          std::memcpy(&x, bytes + 4 * c, 4);
        else if (type == DataType_t::BFLOAT16)
          std::memcpy(&b, bytes + 2 * c, 2), x = __bfloat162float(b);
        else
          std::memcpy(&h, bytes + 2 * c, 2), x = __half2float(h);
        all.push_back(x);
      }
    });
    return all;
  }
  void write(std::vector<float> const& values) const {
    auto from = values.begin();
    each_row([&](auto... i) {
      char* const to = row(i...);
      cuda_double::write(to, row_bytes(), "cuDNN");
      char* const bytes = static_cast<char*>(cuda_double::real(to));
      for (std::int64_t c = 0; c < dim[3]; ++c) {
        float const x = *from++;
        if (type == DataType_t::FLOAT) {
          std::memcpy(bytes + 4 * c, &x, 4);
        } else if (type == DataType_t::BFLOAT16) {
          __nv_bfloat16 const b = __float2bfloat16(x);
          std::memcpy(bytes + 2 * c, &b, 2);
        } else {
          __half const h = __float2half(x);
          std::memcpy(bytes + 2 * c, &h, 2);
        }
      }
    });
  }
};

/// q, k and v of one query, and which keys it sees.
struct Problem {
  std::int64_t batch, heads, kv_heads, tokens, width;
  graph::Scores scores;
  DataType_t type;
  std::vector<float> q, k, v;

  std::size_t query(std::int64_t b, std::int64_t h, std::int64_t t) const {
    return std::size_t(((b * heads + h) * tokens + t) * width);
  }
  std::size_t key(std::int64_t b, std::int64_t h, std::int64_t t) const {
    return std::size_t(((b * kv_heads + h / (heads / kv_heads)) * tokens + t) * width);
  }
  bool sees(std::int64_t query, std::int64_t key) const {
    if (scores.right && key > query + *scores.right) return false;
    return !scores.left || key > query - *scores.left;
  }
  float dot(std::vector<float> const& a, std::size_t i, std::vector<float> const& b,
            std::size_t j) const {
    double sum = 0;
    for (std::size_t c = 0; c < std::size_t(width); ++c) sum += double(a[i + c]) * double(b[j + c]);
    return float(sum);
  }
  float score(std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t i) const {
    return *scores.scale * dot(q, query(b, h, t), k, key(b, h, i));
  }
  template <class F>
  void each_query(F const& f) const {
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t t = 0; t < tokens; ++t) f(b, h, t);
  }
  void add(std::vector<double>& to, std::size_t at, float factor, std::vector<float> const& from,
           std::size_t begin) const {
    for (std::size_t c = 0; c < std::size_t(width); ++c)
      to[at + c] += double(factor) * double(from[begin + c]);
  }
};

std::vector<float> narrow(std::vector<double> const& v) {
  return std::vector<float>(v.begin(), v.end());
}

void forward(Problem const& p, Placed const& o, Placed const& stats) {
  std::vector<double> y(p.q.size());
  std::vector<float> sums;
  p.each_query([&](std::int64_t b, std::int64_t h, std::int64_t t) {
    float most = -INFINITY;
    double total = 0;
    for (std::int64_t i = 0; i < p.tokens; ++i)
      if (p.sees(t, i)) most = std::max(most, p.score(b, h, t, i));
    std::size_t const to = p.query(b, h, t);
    for (std::int64_t i = 0; i < p.tokens; ++i) {
      if (!p.sees(t, i)) continue;
      float const weight = std::exp(p.score(b, h, t, i) - most);
      total += double(weight);
      p.add(y, to, rounded(weight, p.type), p.v, p.key(b, h, i));
    }
    for (std::size_t c = 0; c < std::size_t(p.width); ++c) y[to + c] /= total;
    sums.push_back(most + float(std::log(total)));
  });
  o.write(narrow(y)), stats.write(sums);
}

void backward(Problem const& p, Placed const& o, Placed const& d_o, Placed const& stats,
              Placed const& to_q, Placed const& to_k, Placed const& to_v) {
  std::vector<float> const y = o.values(), dy = d_o.values(), sums = stats.values();
  std::vector<double> dq(p.q.size()), dk(p.k.size()), dv(p.v.size());
  p.each_query([&](std::int64_t b, std::int64_t h, std::int64_t t) {
    std::size_t const row = p.query(b, h, t);
    float const own = p.dot(dy, row, y, row), sum = sums[row / std::size_t(p.width)];
    for (std::int64_t i = 0; i < p.tokens; ++i) {
      if (!p.sees(t, i)) continue;
      std::size_t const at = p.key(b, h, i);
      float const weight = std::exp(p.score(b, h, t, i) - sum);
      float const slope =
          rounded(weight * (p.dot(dy, row, p.v, at) - own) * *p.scores.scale, p.type);
      p.add(dq, row, slope, p.k, at);
      p.add(dk, at, slope, p.q, row);
      p.add(dv, at, rounded(weight, p.type), dy, row);
    }
  });
  to_q.write(narrow(dq)), to_k.write(narrow(dk)), to_v.write(narrow(dv));
}

cudnn_frontend::error_t bad(error_code_t code, std::string const& why) {
  return {code, why};
}

}  // namespace

std::size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}
char const* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : "CUDNN_STATUS_NOT_INITIALIZED";
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  int device = 0;
  if (!handle || cuda_double::calling("cudnnCreate") != cudaSuccess ||
      cudaGetDevice(&device) != cudaSuccess)
    return CUDNN_STATUS_NOT_INITIALIZED;
  *handle = new cudnnContext{alive, device, nullptr, false};
  ++contexts;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  if (!handle || handle->mark != alive) return CUDNN_STATUS_NOT_INITIALIZED;
  handle->mark = 0;
  delete handle;
  --contexts;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  if (!lives(handle)) return CUDNN_STATUS_NOT_INITIALIZED;
  handle->stream = stream, handle->has_stream = true;
  return CUDNN_STATUS_SUCCESS;
}

namespace cudnn_frontend::graph {

std::array<Tensor, 2> Graph::sdpa(Tensor q, Tensor k, Tensor v, SDPA_attributes attributes) {
  auto const o = std::make_shared<Tensor_attributes>(),
             stats = std::make_shared<Tensor_attributes>();
  backward_ = false, stats_ = attributes.stats, scores_ = attributes.scores;
  tensors_ = {std::move(q), std::move(k), std::move(v), o, stats};
  return {o, stats};
}
std::array<Tensor, 3> Graph::sdpa_backward(Tensor q, Tensor k, Tensor v, Tensor o, Tensor d_o,
                                           Tensor stats, SDPA_backward_attributes attributes) {
  backward_ = true, deterministic_ = attributes.deterministic, scores_ = attributes.scores;
  tensors_ = {std::move(q), std::move(k),   std::move(v),
              std::move(o), std::move(d_o), std::move(stats)};
  std::array<Tensor, 3> gradients;
  for (Tensor& t : gradients) tensors_.push_back(t = std::make_shared<Tensor_attributes>());
  return gradients;
}

/// What is wrong with the graph; empty: nothing.
std::string Graph::fault() const {
  if (tensors_.empty()) return "it has no node";
  if (io_ != DataType_t::BFLOAT16 && io_ != DataType_t::HALF)
    return "operands are of no 16-bit type";
  if (intermediate_ != DataType_t::FLOAT || compute_ != DataType_t::FLOAT)
    return "intermediate values or sums are not float";
  std::size_t const stats = backward_ ? 5 : 4, first_output = backward_ ? 6 : 3;
  std::set<std::int64_t> uids;
  auto const& q = *tensors_[0];
  for (std::size_t n = 0; n < tensors_.size(); ++n) {
    Tensor_attributes const& t = *tensors_[n];
    std::string const name = "operand " + std::to_string(t.uid);
    if (t.uid <= 0 || !uids.insert(t.uid).second) return name + " has no number of its own";
    if (t.dim.size() != 4 || t.stride.size() != 4) return name + " has no four extents";
    if (t.output != (n >= first_output)) return name + " is an output, or is not told to be one";
    if (t.dim[0] != q.dim[0] || t.dim[2] != q.dim[2]) return name + " has other sequences";
    if (t.type != (n == stats ? DataType_t::FLOAT : DataType_t::NOT_SET))
      return name + " is of another type";
    bool const of_keys = n == 1 || n == 2 || n == 7 || n == 8;
    if (t.dim[1] != (of_keys ? tensors_[1]->dim[1] : q.dim[1])) return name + " has other heads";
    if (n == stats) {
      std::vector<std::int64_t> const packed{t.dim[1] * t.dim[2], t.dim[2], 1, 1};
      if (t.dim[3] != 1 || t.stride != packed) return name + ", of rows, is not packed";
      continue;
    }
    if (t.dim[3] != q.dim[3]) return name + " is of another width";
    if (t.stride[3] != 1) return name + "'s last stride is not 1";
    for (int d = 0; d < 3; ++d)
      if (t.dim[std::size_t(d)] > 1 && t.stride[std::size_t(d)] * 2 % 16 != 0)
        return name + "'s strides are no multiples of 16 bytes";
  }
  if (q.dim[1] % tensors_[1]->dim[1] != 0) return "heads of keys do not divide those of queries";
  if (q.dim[3] % 8 != 0 || q.dim[3] > 256) return "heads are no multiple of 8, up to 256, wide";
  if (!scores_.scale) return "scores have no scale";
  if ((scores_.left || scores_.right) && scores_.alignment != DiagonalAlignment_t::TOP_LEFT)
    return "bounds count from no corner";
  if (scores_.left.value_or(1) < 1 || scores_.right.value_or(0) < 0) return "bounds leave no key";
  if (backward_ && !deterministic_) return "gradients would be summed in any order";
  if (!backward_ && !stats_) return "the log-sum-exp of scores is not asked for";
  return {};
}

error_t Graph::build(cudnnHandle_t handle, std::vector<HeurMode_t> const& modes) {
  if (!lives(handle)) return bad(error_code_t::API_FAILED, "the handle is not of this device");
  if (modes.empty()) return bad(error_code_t::INVALID, "no heuristic is named");
  if (std::string const what = fault(); !what.empty())
    return bad(error_code_t::GRAPH_NOT_SUPPORTED, what);
  {
    std::lock_guard const lock(refusing);
    if (!refusal.empty()) return bad(error_code_t::GRAPH_NOT_SUPPORTED, refusal);
  }
  auto const& dim = tensors_[0]->dim;
  std::int64_t const rows = dim[0] * dim[1] * dim[2],
                     tiles =
                         dim[0] * dim[1] * ((dim[2] + 63) / 64 * 64) * ((dim[2] + 127) / 128 * 128);
  // The frontend takes a sum per query for itself, which its filter does not count.
  std::int64_t const bytes = (backward_ ? 2 * tiles : 16) + more_workspace;
  if (bytes > most_)
    return bad(error_code_t::GRAPH_NOT_SUPPORTED,
               "every plan wants more workspace, the least " + std::to_string(bytes) + " bytes");
  workspace_ = bytes + (backward_ ? 4 * rows : 0);
  return {};
}

error_t Graph::get_workspace_size(std::int64_t& bytes) const {
  if (workspace_ < 0) return bad(error_code_t::INVALID, "the graph has no plan");
  bytes = workspace_;
  return {};
}

error_t Graph::execute(cudnnHandle_t handle, std::unordered_map<std::int64_t, void*>& pointers,
                       void* workspace) const {
  if (workspace_ < 0) return bad(error_code_t::INVALID, "the graph has no plan");
  if (!lives(handle) || !handle->has_stream)
    return bad(error_code_t::API_FAILED, "the handle is not of this device, or has no stream");
  std::vector<Placed> at;
  for (Tensor const& t : tensors_) {
    auto const found = pointers.find(t->uid);
    std::string const name = "operand " + std::to_string(t->uid);
    if (found == pointers.end())
      return bad(error_code_t::INVALID_VARIANT_PACK, name + " is missing");
    auto* const begin = static_cast<char*>(found->second);
    if (reinterpret_cast<std::uintptr_t>(begin) % 16 != 0)
      return bad(error_code_t::INVALID_VARIANT_PACK, name + " begins at no multiple of 16 bytes");
    if (cuda_double::side(begin, 1) != cuda_double::Side::device)
      return bad(error_code_t::INVALID_VARIANT_PACK, name + " is not on the device");
    at.push_back({t->dim, t->stride, t->type == DataType_t::NOT_SET ? io_ : t->type, begin});
  }
  if (pointers.size() != tensors_.size())
    return bad(error_code_t::INVALID_VARIANT_PACK, "there are pointers to operands that are none");
  if (reinterpret_cast<std::uintptr_t>(workspace) % 16 != 0 || (!workspace && workspace_ > 0))
    return bad(error_code_t::INVALID_VARIANT_PACK, "workspace begins at no multiple of 16 bytes");
  if (cudaError_t const error = cuda_double::calling("cudnnBackendExecute"); error != cudaSuccess)
    return bad(error_code_t::API_FAILED, cudaGetErrorString(error));
  ++runs;
  auto const work = [at, workspace, bytes = std::size_t(workspace_), back = backward_,
                     scores = scores_] {
    // Garbage, so that whoever counts on what was there, or keeps something there, is found out.
    cuda_double::write(workspace, bytes, "cuDNN's workspace");
    std::memset(cuda_double::real(workspace), 0xee, bytes);
    auto const& d = at[0].dim;
    Problem const p{d[0],   d[1],       at[1].dim[1],   d[2],           d[3],
                    scores, at[0].type, at[0].values(), at[1].values(), at[2].values()};
    if (back)
      backward(p, at[3], at[4], at[5], at[6], at[7], at[8]);
    else
      forward(p, at[3], at[4]);
  };
  if (cudaError_t const error = cuda_double::enqueue(handle->stream, work); error != cudaSuccess)
    return bad(error_code_t::API_FAILED, cudaGetErrorString(error));
  return {};
}

}  // namespace cudnn_frontend::graph

namespace cuda_double {

void refuse_graphs(std::string const& why) {
  std::lock_guard const lock(refusing);
  refusal = why;
}
void want_workspace(std::int64_t more) {
  more_workspace = more;
}
long cudnn_contexts() {
  return contexts;
}
long graphs_run() {
  return runs;
}

}  // namespace cuda_double
