/// Values, nodes and the op table: a traced model is a value, one node per operation in execution
/// order. Nothing here knows an op by name.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/dtype.hpp>
#include <tessera/core/sample.hpp>
#include <tessera/core/view.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

inline constexpr int operands = 6;
inline constexpr int extras = 2;  // outputs of an op beside its main one

/// The grammar of a graph: closed. What is computed is an Op.
enum class Role : std::uint8_t {
  op,
  input,      // the previous segment's output
  data,       // a field of the batch, named by Node::field
  parameter,  // Node::parameter: index in the segment's parameter table
  seed,       // gradient of the segment's output
  extra       // a further output of the op that names it in Node::extra
};
enum class Part : std::uint8_t { forward, backward };
enum class Field : std::uint8_t {
  input,       // [samples, extents...]; of text int32 [sequences, tokens]
  target,      // [samples, extents...]; of text int32 [sequences, tokens], and -1 is ignored
  loss_scale,  // Real: one over the terms of the global batch's mean; of text [1], else [samples]
  noise        // int32 [samples, 2]: the halves of each sample's key for random numbers
};
/// Untyped view of a value; converts to the View<T> that a kernel asks for.
struct Tensor {
  void* at = nullptr;
  Shape shape{};
  template <class T>
  operator View<T>() const {
    return {static_cast<T*>(at), shape};
  }
};

/// What shapes an op's node has: enough to prepare a kernel before memory exists.
struct Signature {
  Shape out{};
  std::array<Shape, operands> in{};
  std::array<Shape, extras> extra{};
  int attribute = 0;
  double number = 0;
  DType low = DType::real;  // the type of outputs and operands that Traits::low_* name
};

/// One execution of a kernel.
struct Call {
  Tensor out{};
  std::array<Tensor, operands> in{};
  std::array<Tensor, extras> extra{};
  int attribute = 0;
  double number = 0;
  std::uint64_t stream = 0;                   // names the segment and layer, for random numbers
  bool training = false;                      // else nothing is random: evaluation, generation
  std::array<bool, 1 + extras> accumulate{};  // outputs that add to what is there: out, extra...
  void* workspace = nullptr;
  void* queue = nullptr;  // the backend's stream; null on cores
  void* state = nullptr;  // what the kernel's prepare() returned
};

/// What passes may ask of an op; an open question is a new trait, never a case by name.
struct Traits {
  unsigned overwrites = 0;        // operands (bit k) whose buffer the main output may take
  unsigned extra_overwrites = 0;  // operands whose buffer extra 0 may take
  unsigned accumulates = 0;    // outputs (bit 0: main, 1 + i: extra i) that honour Call::accumulate
  int result_in_backward = 0;  // 1 + i: extra i is the result of the forward op it differentiates
  int vocabulary = -1;         // operand whose extent 0 bounds the integers the op reads
  bool gemm = false;
  // With 16-bit storage: operands (bit k) that the op takes so, outputs (bit 0: main, 1 + i: extra
  // i) that it stores so. What has no bit is real. The kernels of an op with a bit are templates:
  // run<Low>(...).
  unsigned low_in = 0, low_out = 0;
  bool follows = false;  // the bits count only where every operand they name is stored so already
};

/// Which rule a fault breaks: those of graph/rules.hpp that only a trace can check.
enum class Misfit : std::uint8_t { extents, window, types };

/// Two numbers that should be equal: a value, so that a rule prints them on every compiler. Of
/// types they are 1 for integers and 0 for numbers.
struct ShapeFault {
  std::int64_t has = 0, wants = 0;
  Misfit what = Misfit::extents;
  constexpr explicit operator bool() const { return has != wants; }
};

struct Adjoint;
struct Op;

/// An op that has this, with operand `operand` made by `inner` for it alone, is done together with
/// it by `fused`, whose operands are inner's and then the op's others. Same values, fewer bytes.
struct Fusion {
  int operand = 0;
  Op const *inner = nullptr, *fused = nullptr;
};

/// What passes see of an op: graph/op.hpp makes it from a user's struct.
struct Op {
  std::string_view name;
  int inputs = 0;
  int extras = 0;
  unsigned integers = 0, numbers = ~0u;  // operands (bit k) that the kernel takes as such
  Traits traits{};
  Shape (*shape)(Signature const&) = nullptr;
  Shape (*extra_shape)(Signature const&, int) = nullptr;
  void (*adjoint)(Adjoint&) = nullptr;  // null: only an adjoint emits it
  double (*flops)(Signature const&) = nullptr;
  ShapeFault (*check)(Signature const&) = nullptr;
  std::span<Fusion const> fusions{};
  std::string_view saving{};                   // what a fused op saves, in words, and in bytes read
  Bytes (*saved)(Signature const&) = nullptr;  // and written, against an op for each formula
  std::array<std::array<void (*)(Call const&), backends>, stores> kernel{};  // by Signature::low
  std::array<std::shared_ptr<void> (*)(Signature const&), backends> prepare{};
  std::array<Bytes (*)(Signature const&), backends> workspace{};
  std::array<std::string_view (*)(Signature const&), backends> choice{};  // empty: there is none
  std::array<std::string (*)(void const* state), backends> remark{};      // null: never one
};

struct Node {
  Role role = Role::op;
  Part part = Part::forward;
  DType dtype = DType::real;
  Field field = Field::input;
  Op const* op = nullptr;
  Shape shape{};
  std::array<int, operands> in{-1, -1, -1, -1, -1, -1};
  std::array<int, extras> extra{-1, -1};
  int attribute = 0;
  double number = 0;
  DType low = DType::real;  // Signature::low
  bool full = false;        // computes in real, whatever Tape::low is
  int parameter = -1;
  int grad = -1;            // input nodes: the node that holds their gradient
  int grad_of = -1;         // nodes whose output is (a part of) that parameter node's gradient
  bool accumulate = false;  // adds to a gradient that an earlier node of this pass has written
  bool skip_in_training = false;  // a later node computes it on the way
  int alias = -1;                 // shares the buffer of that node
};
using Nodes = std::vector<Node>;

struct Tape;

/// What a layer's forward passes around while it is traced.
struct Value {
  Tape* trace = nullptr;
  int id = -1;
  constexpr Shape const& shape() const;
};

struct Tape {
  Nodes nodes;
  SampleBatch batch{};                 // what fields of the batch look like
  std::vector<int> node_of_parameter;  // -1 until a layer reads it
  std::vector<char> frozen;            // per parameter: gets no gradient
  std::vector<char> full;              // per parameter: stays real
  bool probing = false;    // shapes are not looked at: only whether the layer is constexpr
  bool recording = false;  // keep the first fault instead of throwing at the spot
  ShapeFault fault{};
  Op const* fault_op = nullptr;
  Op const* no_adjoint = nullptr;  // an op on the way to a parameter that cannot be differentiated
  Part part = Part::forward;       // of nodes pushed now
  DType low = DType::real;         // what weights and activations are stored in
  bool in_full = false;            // except for ops appended now
  Op const *narrow = nullptr, *widen = nullptr;  // casts from and to real; set if low is not real

  constexpr int push(Node n) {
    n.part = part, n.full = in_full;
    nodes.push_back(n);
    return int(nodes.size()) - 1;
  }
};

constexpr Shape const& Value::shape() const {
  return trace->nodes[id].shape;
}

constexpr Signature signature(Nodes const& nodes, Node const& n) {
  Signature s{.out = n.shape, .attribute = n.attribute, .number = n.number, .low = n.low};
  for (int k = 0; k < operands; ++k)
    if (n.in[k] >= 0) s.in[k] = nodes[n.in[k]].shape;
  for (int k = 0; k < extras; ++k)
    if (n.extra[k] >= 0) s.extra[k] = nodes[n.extra[k]].shape;
  return s;
}

/// The value in another type: the node itself, or a cast of it, made once.
constexpr int stored_as(Tape& t, int id, DType type) {
  DType const has = t.nodes[id].dtype;
  if (has == type || has == DType::int32) return id;
  Op const* const cast = type == DType::real ? t.widen : t.narrow;
  for (int i = id + 1; i < int(t.nodes.size()); ++i)
    if (t.nodes[i].op == cast && t.nodes[i].in[0] == id) return i;
  return t.push({.dtype = type,
                 .op = cast,
                 .shape = t.nodes[id].shape,
                 .in = {id, -1, -1, -1, -1, -1},
                 .low = t.low});
}

namespace detail {

/// Gives operands the types that the op takes, and the node the type that it makes.
constexpr void choose_types(Tape& t, Op const& op, Node& n) {
  Traits const& is = op.traits;
  bool low = t.low != DType::real && !t.in_full && (is.low_in | is.low_out) != 0;
  for (int k = 0; k < op.inputs && low && is.follows; ++k)
    low = !(is.low_in >> k & 1u) || t.nodes[n.in[k]].dtype == t.low;
  n.low = low ? t.low : DType::real;
  for (int k = 0; k < op.inputs; ++k)
    n.in[k] = stored_as(t, n.in[k], is.low_in >> k & 1u ? n.low : DType::real);
  n.dtype = is.low_out & 1u ? n.low : DType::real;
}

/// An operand that is integers where the kernel takes numbers, or the other way round.
constexpr ShapeFault type_fault(Tape const& t, Op const& op, Node const& n) {
  for (int k = 0; k < op.inputs; ++k) {
    bool const integers = t.nodes[n.in[k]].dtype == DType::int32;
    unsigned const takes = integers ? op.integers : op.numbers;
    if (!(takes >> k & 1u) && ((op.integers | op.numbers) >> k & 1u))
      return {integers, !integers, Misfit::types};
  }
  return {};
}

}  // namespace detail

/// Appends an op's node and those of its further outputs; shapes are what the op's rules say.
constexpr Value append(Tape& t, Op const& op, Node n) {
  n.op = &op;
  if (t.low != DType::real) detail::choose_types(t, op, n);
  Signature const s = signature(t.nodes, n);
  if (t.probing) {
    n.shape = s.in[0];
    return {&t, t.push(n)};
  }
  ShapeFault fault = detail::type_fault(t, op, n);
  if (fault && !t.recording)
    throw "tessera: an op's operand is of another type than its kernel takes";
  if (!fault && t.recording && op.check) fault = op.check(s);
  if (fault) {
    if (!t.fault_op) t.fault = fault, t.fault_op = &op;
    n.op = nullptr, n.role = Role::input, n.shape = s.in[0], n.dtype = DType::real;
    return {&t, t.push(n)};
  }
  for (int k = 0; k < op.extras; ++k)
    n.extra[k] = t.push({.role = Role::extra,
                         .dtype = op.traits.low_out >> (1 + k) & 1u ? n.low : DType::real,
                         .shape = op.extra_shape(s, k)});
  n.shape = op.shape(s);
  return {&t, t.push(n)};
}

}  // namespace tessera::inline TESSERA_SETTING
