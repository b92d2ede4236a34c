/// One segment's graph, bound to kernels: prepared once, then run for every layer with that layer's
/// addresses. Allocates nothing after construction.
#pragma once

#include <tessera/core/random.hpp>
#include <tessera/device/device.hpp>
#include <tessera/graph/bound.hpp>
#include <tessera/graph/describe.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// A segment as the compiler made it, for code that is compiled once.
struct SegmentGraph {
  std::string_view name{};
  int layers = 1;
  bool loss = false;               // the last segment: its result is the loss
  std::span<Node const> nodes{};   // plain ones
  std::span<BoundOp const> ops{};  // of each node
  std::span<Slot const> slots{};
  std::span<ParameterInfo const> parameters{};
  std::span<ParameterPlace const> places{};
  SampleBatch batch{};
};

namespace detail {

template <class Model, int I, class S>
inline constexpr auto plain_graph = plain(graph<Model, I, S>);
template <class Model, int I, class S, int Backend>
inline constexpr auto bound_graph = bound(graph<Model, I, S>, Backend);

}  // namespace detail

/// Backend: by its index among the enabled ones.
template <class Model, int I, class S, int Backend>
constexpr SegmentGraph segment_graph() {
  return {field_name<Model, I>,
          repeats<Model, I>,
          I == segments<Model> - 1,
          detail::plain_graph<Model, I, S>,
          detail::bound_graph<Model, I, S, Backend>,
          slots<Model, I, S>,
          parameters<Model, I, S>,
          places<Model, I, S>,
          batch_of<S>};
}
template <class Model, class S, int Backend = 0>
inline constexpr auto segment_graphs = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array<SegmentGraph, sizeof...(I)>{segment_graph<Model, I, S, Backend>()...};
}
(std::make_integer_sequence<int, segments<Model>>{});

/// Where the buffers of one layer and micro-batch are.
struct Bases {
  int layer = 0;
  std::byte* input = nullptr;
  std::byte* output = nullptr;
  std::byte* output_gradient = nullptr;
  std::byte* input_gradient = nullptr;
  std::byte* kept = nullptr;
  std::byte* scratch = nullptr;
  std::byte* workspace = nullptr;
  std::byte* batch = nullptr;
  Device* device = nullptr;
  Real seed = 1;  // gradient of the loss, where the loss is
  std::array<std::byte*, flats_of_segment> weights{};
  std::array<std::byte*, flats_of_segment> gradients{};
  std::array<bool, flats_of_segment> accumulate{};  // the gradient buffer holds something already

  /// Tells passes apart whose kernels get different arguments.
  using Key = std::array<std::uint64_t, 12 + 3 * flats_of_segment>;
  Key key(std::uint64_t segment, std::uint64_t pass) const {
    Key k{segment, pass, std::uint64_t(layer),
          std::uint64_t(std::bit_cast<std::uint32_t>(float(seed)))};
    std::size_t n = 4;
    auto const add = [&](std::byte const* at) { k[n++] = reinterpret_cast<std::uintptr_t>(at); };
    for (std::byte const* at :
         {input, output, output_gradient, input_gradient, kept, scratch, workspace, batch})
      add(at);
    for (std::byte const* at : weights) add(at);
    for (std::byte const* at : gradients) add(at);
    for (bool const a : accumulate) k[n++] = a;
    return k;
  }
};

/// Sees every value that a pass computes, in order. A step has no watch.
struct NodeWatch {
  virtual ~NodeWatch() = default;
  virtual void done(int node, BoundOp const& op, Tensor const& out, DType type) = 0;
};

/// The first value of a run that is not a finite number.
struct NonFinite : NodeWatch {
  int node = -1;
  std::string_view op{};

  explicit NonFinite(Device& device) : device_(device) {}
  void done(int at, BoundOp const& by, Tensor const& out, DType type) override {
    if (node >= 0) return;
    device_.on_host(static_cast<std::byte*>(out.at), out.shape.count() * size_of(type), false,
                    [&](std::byte* values) {
                      if (!finite({values, out.shape}, type)) node = at, op = by.name;
                    });
  }

 private:
  template <class T>
  static bool all_finite(Tensor const& t) {
    T const* const x = static_cast<T const*>(t.at);
    for (std::int64_t i = 0; i < t.shape.count(); ++i)
      if (!std::isfinite(Wide<T>(x[i]))) return false;
    return true;
  }
  static bool finite(Tensor const& t, DType type) {
    if (type == DType::bf16) return all_finite<bf16>(t);
    return type == DType::fp16 ? all_finite<fp16>(t) : all_finite<Real>(t);
  }

  Device& device_;
};

class Program {
 public:
  explicit Program(SegmentGraph const& segment) : segment_(segment), noise_(0, segment.name) {
    Nodes const nodes(segment.nodes.begin(), segment.nodes.end());
    for (int i = 0; i < int(nodes.size()); ++i) {
      Node const& n = nodes[std::size_t(i)];
      bool const one = n.role == Role::seed && segment.loss;
      BoundOp const& op = segment.ops[std::size_t(i)];
      if (!op.kernel && !one) continue;
      Step s{.node = i, .op = one ? nullptr : &op, .skip_in_training = n.skip_in_training};
      s.out = operand(nodes, i);
      s.call.attribute = n.attribute, s.call.number = n.number;
      for (int k = 0; k < operands; ++k)
        if (n.in[std::size_t(k)] >= 0)
          s.in[std::size_t(s.inputs++)] = operand(nodes, n.in[std::size_t(k)]);
      for (int k = 0; k < extras; ++k)
        if (n.extra[std::size_t(k)] >= 0)
          s.extra[std::size_t(s.extras++)] = operand(nodes, n.extra[std::size_t(k)]);
      if (s.op && op.prepare) {
        s.state = op.prepare(signature(nodes, n));
        s.call.state = s.state.get();
      }
      (n.part == Part::forward ? forward_ : backward_).push_back(std::move(s));
    }
  }

  SegmentGraph const& segment() const { return segment_; }
  /// What ops say of how they were prepared, each once.
  std::vector<std::string> remarks() const {
    std::vector<std::string> all;
    for (std::vector<Step> const* steps : {&forward_, &backward_})
      for (Step const& s : *steps) {
        std::string const said = s.state && s.op->remark ? s.op->remark(s.state.get()) : "";
        if (!said.empty() && std::find(all.begin(), all.end(), said) == all.end())
          all.push_back(said);
      }
    return all;
  }

  void forward(Bases const& at, bool training, NodeWatch* watch = nullptr) {
    for (Step& s : forward_)
      if (!(training && s.skip_in_training)) run(s, at, training, watch);
  }
  void backward(Bases const& at, NodeWatch* watch = nullptr) {
    for (Step& s : backward_) run(s, at, true, watch);
  }
  /// Numbers whose sum, each times its scale if there are scales, is a part of the mean.
  struct Losses {
    Real const *losses = nullptr, *scales = nullptr;
    std::int64_t count = 0;
  };
  /// The loss segment's result, where the pass that ran last has left it.
  Losses losses(Bases const& at, bool training) const {
    Step const& last = forward_.back();
    if (!training || !last.skip_in_training)
      return {static_cast<Real*>(address(last.out, at)), scales_at(at), last.out.shape.count()};
    for (Step const& s : backward_)
      if (s.op && s.op->traits.result_in_backward > 0)
        return {static_cast<Real*>(
                    address(s.extra[std::size_t(s.op->traits.result_in_backward - 1)], at)),
                nullptr, 1};
    return {};
  }

 private:
  struct Operand {
    Region region = Region::none;
    int use = 0;  // parameters and gradients: which of the segment's flats
    Bytes offset = 0;
    Shape shape{};
    DType dtype = DType::real;
    bool accumulate = false;  // a gradient to which an earlier node of this pass has contributed
  };
  struct Step {
    int node = 0;
    BoundOp const* op = nullptr;  // null: the seed of the loss
    bool skip_in_training = false;
    std::shared_ptr<void> state{};
    Call call{};
    Operand out{};
    int inputs = 0, extras = 0;
    std::array<Operand, operands> in{};
    std::array<Operand, tessera::extras> extra{};
  };

  Operand operand(Nodes const& nodes, int i) const {
    Node const& n = nodes[std::size_t(i)];
    Slot const& slot = segment_.slots[std::size_t(i)];
    Operand o{.region = slot.region, .offset = slot.offset, .shape = n.shape, .dtype = n.dtype};
    int const parameter = n.grad_of >= 0 ? nodes[std::size_t(n.grad_of)].parameter : n.parameter;
    if (slot.region == Region::parameter || slot.region == Region::gradient) {
      ParameterPlace const& p = segment_.places[std::size_t(parameter)];
      o.use = p.use;
      o.offset = p.offset * size_of(n.dtype);
      o.accumulate = n.accumulate;
    }
    if (slot.region == Region::batch) {
      BatchFields const f = batch_fields(segment_.batch);
      switch (n.field) {
        case Field::input: o.offset = f.input; break;
        case Field::target: o.offset = f.target; break;
        case Field::loss_scale: o.offset = f.loss_scale; break;
        case Field::noise: o.offset = f.noise; break;
      }
    }
    return o;
  }

  static void* address(Operand const& o, Bases const& at) {
    std::byte* base = nullptr;
    switch (o.region) {
      case Region::none: break;
      case Region::parameter: base = at.weights[std::size_t(o.use)]; break;
      case Region::gradient: base = at.gradients[std::size_t(o.use)]; break;
      case Region::batch: base = at.batch; break;
      case Region::input: base = at.input; break;
      case Region::output: base = at.output; break;
      case Region::output_gradient: base = at.output_gradient; break;
      case Region::input_gradient: base = at.input_gradient; break;
      case Region::kept: base = at.kept; break;
      case Region::scratch: base = at.scratch; break;
    }
    return base + o.offset;
  }
  /// What every sample's loss counts in the mean; null: the loss of text has been scaled already.
  Real* scales_at(Bases const& at) const {
    if (segment_.batch.text()) return nullptr;
    return reinterpret_cast<Real*>(at.batch + batch_fields(segment_.batch).loss_scale);
  }
  static Tensor tensor(Operand const& o, Bases const& at) { return {address(o, at), o.shape}; }
  static bool adds(Operand const& o, Bases const& at) {
    return o.region == Region::gradient && (o.accumulate || at.accumulate[std::size_t(o.use)]);
  }

  void run(Step& s, Bases const& at, bool training, NodeWatch* watch) {
    if (!s.op) {
      at.device->seed(static_cast<Real*>(address(s.out, at)), scales_at(at), at.seed,
                      s.out.shape.count());
      return;
    }
    Call& c = s.call;
    c.out = tensor(s.out, at);
    c.accumulate[0] = adds(s.out, at);
    for (std::size_t k = 0; k < std::size_t(s.inputs); ++k) c.in[k] = tensor(s.in[k], at);
    for (std::size_t k = 0; k < std::size_t(s.extras); ++k) {
      c.extra[k] = tensor(s.extra[k], at);
      c.accumulate[1 + k] = adds(s.extra[k], at);
    }
    c.workspace = at.workspace;
    c.queue = at.device->queue();
    c.stream = noise_.at(std::uint64_t(at.layer)).stream;
    c.training = training;
    s.op->kernel(c);
    if (watch) watch->done(s.node, *s.op, c.out, s.out.dtype);
  }

  SegmentGraph segment_;
  RandomKey noise_;  // its stream names the segment; seed and sequence are in the batch
  std::vector<Step> forward_, backward_;
};

}  // namespace tessera::inline TESSERA_SETTING
