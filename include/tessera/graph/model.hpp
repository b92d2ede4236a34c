/// A model is an aggregate whose members are segments; each one's output is the next one's input. A
/// segment is traced once, whatever its repeat count.
#pragma once

#include <tessera/core/fields.hpp>
#include <tessera/core/freeze.hpp>
#include <tessera/core/glob.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/graph/fuse.hpp>
#include <tessera/graph/lifetime.hpp>
#include <tessera/graph/path.hpp>
#include <tessera/graph/precision.hpp>
#include <tessera/graph/rules.hpp>
#include <tessera/op/add.hpp>
#include <tessera/op/cast.hpp>

#include <span>

namespace tessera::inline TESSERA_SETTING {

/// Count layers of one kind, traced once. A member of a model.
template <int Count, class Layer>
struct Repeat {
  static_assert(Count > 0, "Repeat<Count, Layer>: Count must be positive");
  Layer layer;
};

struct ParameterInfo {
  Path path{};  // whole, with '*' for the layer number: "blocks.*.mlp.up.weight"
  Shape shape{};
  Init init{};
  std::string_view tie{};
  bool running = false;
  bool frozen = false;
  bool full = false;  // stays real where others are stored in 16 bits
};

namespace detail {

template <class L>
constexpr void number(L& layer, Path const& path, std::vector<ParameterInfo>& table) {
  if constexpr (std::is_base_of_v<ParameterSlot, L>) {
    for (int i = 0; i < int(table.size()); ++i)
      if (!layer.tie.empty() && table[i].tie == layer.tie) {
        layer.id = i;
        return;
      }
    layer.id = int(table.size());
    table.push_back({path, layer.shape, layer.init, layer.tie, layer.running});
  } else if constexpr (!std::is_arithmetic_v<L> && !std::is_enum_v<L>) {
    constexpr rule::LayerIsAggregate<L> checked{};
    (void)checked;
    for_each_field(layer,
                   [&]<int I>(auto& member) { number(member, path / field_name<L, I>, table); });
  }
}

template <class Part>
struct Repeated {
  using layer = Part;
  static constexpr int count = 1;
};
template <int Count, class L>
struct Repeated<Repeat<Count, L>> {
  using layer = L;
  static constexpr int count = Count;
};

}  // namespace detail

template <class Model, int I>
using layer_of = typename detail::Repeated<field_type<Model, I>>::layer;
template <class Model, int I>
inline constexpr int repeats = detail::Repeated<field_type<Model, I>>::count;
template <class Model, int I>
inline constexpr bool is_repeated = !std::is_same_v<layer_of<Model, I>, field_type<Model, I>>;
template <class Model>
inline constexpr int segments = field_count<Model>;

/// What tracing needs to know beside the model: S::batch, or S::sequences and S::tokens of a
/// micro-batch of text; S::frozen (patterns of parameters that are not trained); S::low, the
/// storage type, if it is not real, and S::full, patterns of parameters that stay real then.
template <class S>
concept Setup = requires {
  { S::frozen } -> std::convertible_to<std::span<std::string_view const>>;
};
template <class S>
inline constexpr SampleBatch batch_of = [] {
  if constexpr (requires { S::batch; })
    return SampleBatch(S::batch);
  else
    return token_batch(S::sequences, S::tokens);
}();
template <class S>
inline constexpr DType low_of = [] {
  if constexpr (requires { S::low; })
    return S::low;
  else
    return DType::real;
}();

template <class S>
inline constexpr std::span<std::string_view const> full_of = [] {
  if constexpr (requires { S::full; })
    return std::span<std::string_view const>(S::full);
  else
    return std::span<std::string_view const>();
}();

namespace detail {

template <class Model, int I>
constexpr std::vector<ParameterInfo> named_parameters() {
  layer_of<Model, I> layer{};
  std::vector<ParameterInfo> t;
  Path const root = Path{} / field_name<Model, I>;
  number(layer, is_repeated<Model, I> ? root / "*" : root, t);
  return t;
}

/// Calls f(parameter) for every parameter of every segment.
template <class Model, class F>
constexpr void each_parameter(F const& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) {
    auto const all = [&](std::vector<ParameterInfo> const& table) {
      for (ParameterInfo const& p : table) f(p);
    };
    (all(named_parameters<Model, I>()), ...);
  }
  (std::make_integer_sequence<int, segments<Model>>{});
}

using Patterns = std::span<std::string_view const>;

/// Does a pattern name the parameter? A tied one by any of its paths.
template <class Model>
constexpr bool named_by(Patterns patterns, ParameterInfo const& p) {
  auto const direct = [&](ParameterInfo const& q) {
    for (std::string_view pattern : patterns)
      if (matches(pattern, q.path.view())) return true;
    return false;
  };
  bool named = direct(p);
  if (!p.tie.empty() && !patterns.empty())
    each_parameter<Model>([&](ParameterInfo const& other) {
      if (other.tie == p.tie && direct(other)) named = true;
    });
  return named;
}

template <class Model, int I, class S>
constexpr std::vector<ParameterInfo> parameter_table() {
  std::vector<ParameterInfo> t = named_parameters<Model, I>();
  for (ParameterInfo& p : t) {
    p.frozen = named_by<Model>(S::frozen, p);
    // Statistics change by less than 16 bits can hold.
    p.full = low_of<S> != DType::real && (p.running || named_by<Model>(full_of<S>, p));
  }
  return t;
}

/// The first pattern that no path matches; -1: none.
template <class Model>
constexpr int unmatched_pattern(Patterns patterns) {
  int index = 0;
  for (std::string_view pattern : patterns) {
    bool found = false;
    each_parameter<Model>(
        [&](ParameterInfo const& p) { found = found || matches(pattern, p.path.view()); });
    if (!found) return index;
    ++index;
  }
  return -1;
}

/// The layer's call operator once, on a Value. The trace may carry flags; it comes back filled.
template <class Layer>
constexpr Value trace(Tape& t, Shape input, bool from_batch) {
  Layer layer{};
  std::vector<ParameterInfo> table;
  number(layer, {}, table);
  t.node_of_parameter.assign(table.size(), -1);
  Value const x{&t, t.push({.role = from_batch ? Role::data : Role::input,
                            .dtype = from_batch ? t.batch.input.dtype : DType::real,
                            .field = Field::input,
                            .shape = input})};
  Value const y = layer(x);
  if (y.trace != &t) throw "trace: the layer returned a value that was not made from its argument";
  if (y.id == x.id && !t.probing) throw "trace: a segment returns its argument; leave it out";
  if (y.id != int(t.nodes.size()) - 1) throw "trace: the layer computes something after its result";
  return y;
}

template <class Layer>
constexpr int probe() {
  Tape t;
  t.probing = true;
  trace<Layer>(t, shape_of(2, 2, 2), false);
  return 0;
}
template <class Layer>
concept Callable = requires(Layer const layer, Value v) {
  { layer(v) } -> std::same_as<Value>;
};
template <class Layer>
concept ConstexprCallable = !Callable<Layer> || requires {
  typename std::integral_constant<int, probe<Layer>()>;
};

template <class Layer>
constexpr Tape recorded(SampleBatch const& batch, Shape input, bool from_batch) {
  Tape t;
  t.batch = batch;
  t.recording = true;
  trace<Layer>(t, input, from_batch);
  return t;
}
struct Faults {
  Op const* op = nullptr;
  ShapeFault fault{};
  int unused = -1;  // a parameter that the call operator does not read
};
template <class Layer>
constexpr Faults faults(SampleBatch const& batch, Shape input, bool from_batch) {
  Tape const t = recorded<Layer>(batch, input, from_batch);
  Faults f{t.fault_op, t.fault, -1};
  for (int i = int(t.node_of_parameter.size()); i-- > 0;)
    if (t.node_of_parameter[i] < 0) f.unused = i;
  return f;
}

template <class Layer>
struct CanBeTraced : rule::LayerIsAggregate<Layer>,
                     rule::LayerHasCall<Layer, Callable<Layer>>,
                     rule::CallIsConstexpr<Layer, ConstexprCallable<Layer>> {};

}  // namespace detail

template <class Model, int I, class S>
constexpr Shape segment_input();

namespace detail {

// The rules that print numbers stand apart from the trace that throws: clang++ 14 does not evaluate
// a function whose body contains a failed rule, and the notes with the chain of layers would be
// lost.
template <class Model, int I, class S>
struct TraceIsSound : CanBeTraced<layer_of<Model, I>> {
  static constexpr Faults f =
      faults<layer_of<Model, I>>(batch_of<S>, segment_input<Model, I, S>(), I == 0);
  static constexpr ShapeFault of(Misfit what) {
    return f.fault.what == what ? f.fault : ShapeFault{};
  }
  static constexpr ShapeFault extents = of(Misfit::extents), window = of(Misfit::window),
                              types = of(Misfit::types);
  static constexpr rule::ShapesAgree<layer_of<Model, I>, f.op, extents.has, extents.wants> shapes{};
  static constexpr rule::WindowIsSmaller<layer_of<Model, I>, window.has, window.wants> windows{};
  static constexpr rule::TypesAgree<layer_of<Model, I>, f.op, types.has != 0, types.wants != 0>
      agree{};
  static constexpr rule::ParametersAreUsed<layer_of<Model, I>, f.unused> used{};
};

template <class Model, int I, class S>
struct OutputOf : TraceIsSound<Model, I, S> {
  static constexpr Shape value = [] {
    Tape t;
    t.batch = batch_of<S>;
    return trace<layer_of<Model, I>>(t, segment_input<Model, I, S>(), I == 0).shape();
  }();
};

}  // namespace detail

template <class Model, int I, class S>
inline constexpr Shape segment_output = detail::OutputOf<Model, I, S>::value;

template <class Model, int I, class S>
constexpr Shape segment_input() {
  if constexpr (I == 0)
    return batch_of<S>.input.shape(batch_of<S>.samples);
  else
    return segment_output<Model, I - 1, S>;
}

namespace detail {

template <class Model, int I, class S>
struct ForwardTrace
    : TraceIsSound<Model, I, S>,
      rule::RepeatKeepsShape<layer_of<Model, I>,
                             repeats<Model, I> == 1 ||
                                 segment_input<Model, I, S>() == segment_output<Model, I, S>>,
      rule::FirstSegmentIsOne<layer_of<Model, I>, I == 0 ? repeats<Model, I> : 1> {};

/// A forward trace as it will run: fused before values have types, where formulas are still plain,
/// and again where casts have come in.
template <class S>
constexpr void lower(Tape& t) {
  fuse(t);
  store_low(t, low_of<S>, table<Narrow>, table<Widen>);
  fuse(t);
}

template <class Model, int I, class S>
constexpr Tape differentiated() {
  Tape t;
  t.batch = batch_of<S>;
  for (ParameterInfo const& p : parameter_table<Model, I, S>()) {
    t.frozen.push_back(p.frozen);
    t.full.push_back(p.full);
  }
  trace<layer_of<Model, I>>(t, segment_input<Model, I, S>(), I == 0);
  lower<S>(t);
  differentiate(t, I == segments<Model> - 1, table<Add>, table<AddInto>);
  return t;
}

struct Unreached {
  Op const* stuck = nullptr;  // an op without an adjoint on the way
  int parameter = -1;         // trained, and no adjoint gives it a gradient
};
template <class Model, int I, class S>
constexpr Unreached unreached() {
  Tape const t = differentiated<Model, I, S>();
  if (t.no_adjoint) return {t.no_adjoint, -1};
  std::vector<char> reached = t.frozen;
  for (Node const& n : t.nodes)
    if (n.grad_of >= 0) reached[t.nodes[n.grad_of].parameter] = 1;
  for (int i = 0; i < int(reached.size()); ++i)
    if (!reached[i]) return {nullptr, i};
  return {};
}

template <class Model, int I, class S>
struct IsDifferentiable : ForwardTrace<Model, I, S> {
  static constexpr Unreached missed = unreached<Model, I, S>();
  static constexpr rule::OpIsDifferentiable<missed.stuck> checked{};
  static constexpr rule::ParametersAreReached<layer_of<Model, I>, missed.parameter> reached{};
};

template <class Model, int I, class S>
struct TrainingGraph : IsDifferentiable<Model, I, S> {
  static constexpr Nodes make() {
    Tape t = differentiated<Model, I, S>();
    Nodes g = prune(t.nodes, I > 0);
    reuse_buffers(g, I == segments<Model> - 1);
    return g;
  }
};
template <class Model, int I, class S>
struct SlotsOf {
  static constexpr std::vector<Slot> make() {
    Nodes const g = TrainingGraph<Model, I, S>::make();
    return lay_out(g, I == segments<Model> - 1).slots;
  }
};
template <class Model, int I, class S>
struct ParametersOf {
  static constexpr std::vector<ParameterInfo> make() { return parameter_table<Model, I, S>(); }
};

}  // namespace detail

/// Forward and backward of segment I: nodes, the places of their values, and its parameters.
template <class Model, int I, class S>
inline constexpr auto graph = freeze<detail::TrainingGraph<Model, I, S>>();
template <class Model, int I, class S>
inline constexpr auto slots = freeze<detail::SlotsOf<Model, I, S>>();
template <class Model, int I, class S>
inline constexpr auto parameters = freeze<detail::ParametersOf<Model, I, S>>();

}  // namespace tessera::inline TESSERA_SETTING
