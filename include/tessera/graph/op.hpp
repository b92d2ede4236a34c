/// The one door for ops: what the library's ops and a user's have in common, and the table that
/// every pass sees of them. The executor sees what graph/bound.hpp takes from it.
///
///   struct Swish {
///     static constexpr std::string_view name = "swish";
///     static constexpr auto adjoint = by_kernels<0>;       // or a constexpr function of Adjoint&
///     static constexpr Shape shape(Shape x) { return x; }  // of the operands [, int attribute]
///   };
///   template <class Backend>
///   struct tessera::kernels<Swish, Backend> {
///     template <Team T> static void run(T const&, View<Real> y, View<Real const> x);
///     template <Team T> static void backward(Wrt<0>, T const&, View<Real> dx,
///                                            View<Real const> dy, View<Real const> x);
///   };
///   static_assert(tessera::complete<Swish>);  // last line of an op's file
///
/// Optional members of an op: traits, extras with extra(int k, Shape... [, int attribute]),
/// check(Shape... [, int attribute]), flops(Signature), fusions (an array of Fusion), saving (a
/// text) with saved(Signature). Optional members of kernels<Op, Backend>: prepare(Signature) (its
/// result lives as long as the trainer and is Call::state), workspace(Signature) (bytes of
/// Call::workspace), choice(Signature) (who computes it, where there is a choice), remark(void
/// const* state) (what of that did not come true; empty: nothing).
/// A kernel is a Team function, or a host function whose first parameter is a Call. What a team is
/// given is TESSERA_BOTH: `[=] TESSERA_BOTH(std::int64_t i) {...}`, for nvcc --extended-lambda.
#pragma once

#include <tessera/core/team.hpp>
#include <tessera/graph/graph.hpp>
#include <tessera/graph/parameter.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

/// Defined, so that a specialisation after the first use is an error on every compiler.
template <class Op, class Backend>
struct kernels {};

template <int I>
using Wrt = std::integral_constant<int, I>;

/// The gradients of these operands are kernels<Op, Backend>::backward(Wrt<I>, where, dx, dy, in...,
/// extras...).
template <int... I>
struct ByKernels {};
template <int... I>
inline constexpr ByKernels<I...> by_kernels{};
/// The op appears in backward passes only.
struct BackwardOnly {};
inline constexpr BackwardOnly backward_only{};

/// A backend's team, and beside it the node's settings and where in a run it is: as in Call.
template <class T>
struct Launch : T {
  int attribute = 0;
  double number = 0;
  std::uint64_t stream = 0;
  bool training = false;
  bool accumulate[1 + extras]{};  // a plain array: device code indexes it
};

namespace detail {

template <int>
using ShapeAt = Shape;
template <int>
using TensorAt = Tensor;
template <int N>
using Count = std::make_integer_sequence<int, N>;

template <class O, int... I>
consteval bool takes(std::integer_sequence<int, I...>) {
  return requires {
    O::shape(ShapeAt<I>{}...);
  }
  || requires {
    O::shape(ShapeAt<I>{}..., 1);
  };
}
template <class O, int N = 1>
consteval int count_operands() {
  if constexpr (requires { O::inputs; })
    return O::inputs;
  else if constexpr (N > operands)
    return 0;
  else if constexpr (takes<O>(Count<N>{}))
    return N;
  else
    return count_operands<O, N + 1>();
}

}  // namespace detail

template <class O>
inline constexpr int arity = detail::count_operands<O>();
template <class O>
inline constexpr int extra_count = [] {
  if constexpr (requires { O::extras; })
    return int(O::extras);
  else
    return 0;
}();

namespace detail {

template <int Store>
using StoreAt = std::conditional_t<Store == int(DType::bf16), bf16,
                                   std::conditional_t<Store == int(DType::fp16), fp16, Real>>;

/// Does the op store or take 16-bit values? Then its kernels are templates over that type.
template <class O>
inline constexpr bool stores_low = [] {
  if constexpr (requires { O::traits; })
    return (Traits(O::traits).low_in | Traits(O::traits).low_out) != 0;
  else
    return false;
}();

/// An operand that converts to views of one type only: does a kernel take that there?
template <class T>
struct Only {
  operator View<T>() const;
  operator View<T const>() const;
};
template <class O, class B, class Where, int K, class T, int... I, int... E>
consteval bool takes_there(std::integer_sequence<int, I...>, std::integer_sequence<int, E...>) {
  if constexpr (stores_low<O>) return requires(Where const& w, Tensor t) {
      kernels<O, B>::template run<Real>(w, t, std::conditional_t<I == K, Only<T>, Tensor>{}...,
                                        TensorAt<E>(t)...);
    };
  else
    return requires(Where const& w, Tensor t) {
      kernels<O, B>::run(w, t, std::conditional_t<I == K, Only<T>, Tensor>{}..., TensorAt<E>(t)...);
    };
}

template <class O, class B, class Where, int... I, int... E>
consteval bool callable(std::integer_sequence<int, I...>, std::integer_sequence<int, E...>) {
  if constexpr (stores_low<O>) return requires(Where const& w, Tensor t) {
      kernels<O, B>::template run<Real>(w, t, TensorAt<I>(t)..., TensorAt<E>(t)...);
    };
  else
    return requires(Where const& w, Tensor t) {
      kernels<O, B>::run(w, t, TensorAt<I>(t)..., TensorAt<E>(t)...);
    };
}

}  // namespace detail

template <class O, class B>
concept HostKernel = detail::callable<O, B, Call>(detail::Count<arity<O>>{},
                                                  detail::Count<extra_count<O>>{});
template <class O, class B>
concept TeamKernel = detail::callable<O, B, Launch<typename B::team>>(
    detail::Count<arity<O>>{}, detail::Count<extra_count<O>>{});
template <class O, class B>
concept HasKernel = HostKernel<O, B> || TeamKernel<O, B>;

namespace rule {

template <class Op>
concept NamesAdjoint = requires(Adjoint& d) {
  Op::adjoint(d);
}
|| requires {
  Op::adjoint;
};

template <class Op>
struct OpHasShape {
  static_assert(
      arity<Op> > 0,
      "tessera: an op needs static constexpr Shape shape(Shape...), one Shape per operand");
};
template <class Op>
struct OpHasAdjoint {
  static_assert(NamesAdjoint<Op>,
                "tessera: an op needs an adjoint: a constexpr function of Adjoint&, "
                "by_kernels<operands...>, or backward_only");
};
template <class Op, class Backend>
struct OpHasKernel {
  static_assert(HasKernel<Op, Backend>,
                "tessera: this op has no kernels<Op, Backend>::run(where, out, operands..., "
                "extras...) for an enabled backend");
};
template <class Op, class Backends>
struct OpHasKernels;
template <class Op, class... B>
struct OpHasKernels<Op, Backends<B...>> : OpHasKernel<Op, B>... {};

}  // namespace rule

template <class O>
constexpr void adjoint_of(Adjoint& d);  // adjoint.hpp

namespace detail {

template <class O>
inline constexpr bool is_backward_only = [] {
  if constexpr (requires(Adjoint & d) { O::adjoint(d); })
    return false;
  else if constexpr (requires { O::adjoint; })
    return std::is_same_v<std::remove_cvref_t<decltype(O::adjoint)>, BackwardOnly>;
  else
    return false;
}();

template <class O, class B, class Low, class Where, class C, int... I, int... E>
void invoke(Where const& where, C const& c, std::integer_sequence<int, I...>,
            std::integer_sequence<int, E...>) {
  if constexpr (stores_low<O>)
    kernels<O, B>::template run<Low>(where, c.out, c.in[I]..., c.extra[E]...);
  else
    kernels<O, B>::run(where, c.out, c.in[I]..., c.extra[E]...);
}

template <class O, class B, class Low>
void entry(Call const& c) {
  constexpr Count<arity<O>> in{};
  constexpr Count<extra_count<O>> more{};
  if constexpr (HostKernel<O, B>)
    invoke<O, B, Low>(c, c, in, more);
  else if constexpr (TeamKernel<O, B>)
    invoke<O, B, Low>(Launch<typename B::team>{B::team::on(c.queue),
                                               c.attribute,
                                               c.number,
                                               c.stream,
                                               c.training,
                                               {c.accumulate[0], c.accumulate[1], c.accumulate[2]}},
                      c, in, more);
}

template <class O, class B>
constexpr auto preparation() -> std::shared_ptr<void> (*)(Signature const&) {
  if constexpr (requires(Signature const& s) { kernels<O, B>::prepare(s); })
    return [](Signature const& s) -> std::shared_ptr<void> {
      using State = decltype(kernels<O, B>::prepare(s));
      return std::shared_ptr<State>(new State(kernels<O, B>::prepare(s)));
    };
  else
    return nullptr;
}
template <class O, class B>
constexpr Bytes workspace_of(Signature const& s) {
  if constexpr (requires { kernels<O, B>::workspace(s); })
    return kernels<O, B>::workspace(s);
  else
    return (void)s, Bytes(0);
}
template <class O, class B>
constexpr std::string_view choice_of([[maybe_unused]] Signature const& s) {
  if constexpr (requires { kernels<O, B>::choice(s); }) return kernels<O, B>::choice(s);
  return {};
}
template <class O, class B>
constexpr auto remark_of() -> std::string (*)(void const*) {
  if constexpr (requires { &kernels<O, B>::remark; }) return &kernels<O, B>::remark;
  return nullptr;
}
/// f<0>(), f<1>(), ...: once for every type that values may be stored in.
template <class F>
constexpr void for_each_store(F const& f) {
  [&]<int... Store>(std::integer_sequence<int, Store...>) {
    (f.template operator()<Store>(), ...);
  }
  (Count<stores>{});
}

/// Operands (bit k) that the kernel takes as views of T.
template <class O, class T, class B, class... More, int... I>
constexpr unsigned operands_of(Backends<B, More...>, std::integer_sequence<int, I...> in) {
  using Where = std::conditional_t<HostKernel<O, B>, Call, Launch<typename B::team>>;
  return (0u | ... | (unsigned(takes_there<O, B, Where, I, T>(in, Count<extra_count<O>>{})) << I));
}

template <class O, int... I>
constexpr Op make_table(std::integer_sequence<int, I...>) {
  Op op{.name = O::name, .inputs = arity<O>, .extras = extra_count<O>};
  if constexpr (requires { O::traits; }) op.traits = O::traits;
  op.integers = operands_of<O, std::int32_t>(Enabled{}, Count<arity<O>>{});
  op.numbers = operands_of<O, Real>(Enabled{}, Count<arity<O>>{});
  op.shape = [](Signature const& s) -> Shape {
    if constexpr (requires { O::shape(s.in[I]..., s.attribute); })
      return O::shape(s.in[I]..., s.attribute);
    else
      return O::shape(s.in[I]...);
  };
  if constexpr (extra_count < O >> 0)
    op.extra_shape = [](Signature const& s, int k) -> Shape {
      if constexpr (requires { O::extra(k, s.in[I]..., s.attribute); })
        return O::extra(k, s.in[I]..., s.attribute);
      else
        return O::extra(k, s.in[I]...);
    };
  if constexpr (requires(Signature s) { O::check(s.in[I]..., s.attribute); })
    op.check = [](Signature const& s) -> ShapeFault { return O::check(s.in[I]..., s.attribute); };
  else if constexpr (requires(Signature s) { O::check(s.in[I]...); })
    op.check = [](Signature const& s) -> ShapeFault { return O::check(s.in[I]...); };
  if constexpr (!is_backward_only<O>) {
    if constexpr (rule::NamesAdjoint<O>)
      op.adjoint = &adjoint_of<O>;
    else
      op.adjoint = [](Adjoint&) {};  // the rule has failed: one mistake, one error
  }
  if constexpr (requires { O::fusions; }) op.fusions = O::fusions;
  if constexpr (requires { O::saving; }) op.saving = O::saving, op.saved = &O::saved;
  op.flops = [](Signature const& s) -> double {
    if constexpr (requires { O::flops(s); })
      return O::flops(s);
    else
      return double(s.out.count());
  };
  [&]<class... B>(Backends<B...>) {
    for_each_store([&]<int Store>() {
      op.kernel[Store] = {&entry<O, B, StoreAt<stores_low<O> ? Store : 0>>...};
    });
    op.prepare = {preparation<O, B>()...};
    op.workspace = {&workspace_of<O, B>...};
    op.choice = {&choice_of<O, B>...};
    op.remark = {remark_of<O, B>()...};
  }(Enabled{});
  return op;
}

// The rules stand in a struct of their own: clang++ 14 takes nothing for constant that contains a
// failed rule.
template <class O>
struct OpIsComplete : rule::OpHasShape<O>, rule::OpHasAdjoint<O>, rule::OpHasKernels<O, Enabled> {};

template <class O>
struct TableOf {
  static_assert(sizeof(OpIsComplete<O>) > 0);
  static constexpr Op value = make_table<O>(Count<arity<O>>{});
};

constexpr Value as_value(Tape& t, ParameterSlot const& p) {
  if (p.id < 0) throw "tessera: a parameter must be a member of the layer that is traced";
  int& node = t.node_of_parameter[p.id];
  if (node < 0) node = t.push({.role = Role::parameter, .shape = p.shape, .parameter = p.id});
  return {&t, node};
}
constexpr Value as_value(Tape& t, Value v) {
  if (v.trace != &t) throw "tessera: an op's operands come from different traces";
  return v;
}

}  // namespace detail

/// Last line of every op's file: an incomplete op is refused where it stands.
template <class O>
inline constexpr bool complete = sizeof(detail::OpIsComplete<O>) > 0;

template <class O>
inline constexpr Op const& table = detail::TableOf<O>::value;

/// Settings of one use of an op that its kernels read: Launch::attribute, Launch::number.
struct Settings {
  int attribute = 0;
  double number = 0;
};

/// Appends an op: the only way a node comes into a graph.
template <class O, class... In>
constexpr Value apply(Settings s, Value x, In const&... more) {
  static_assert(1 + sizeof...(In) == arity<O>, "apply<Op>: as many operands as Op::shape takes");
  Tape& t = *x.trace;
  Node n{.attribute = s.attribute, .number = s.number};
  int k = 0;
  n.in[k++] = x.id;
  ((n.in[k++] = detail::as_value(t, more).id), ...);
  return append(t, table<O>, n);
}
template <class O, class... In>
constexpr Value apply(Value x, In const&... more) {
  return apply<O>(Settings{}, x, more...);
}

/// A field of the batch; may be read in any segment.
constexpr Value field(Value like, Field f) {
  SampleBatch const& b = like.trace->batch;
  Node n{.role = Role::data, .dtype = DType::int32, .field = f};
  switch (f) {
    case Field::input: n.dtype = b.input.dtype, n.shape = b.input.shape(b.samples); break;
    case Field::target: n.dtype = b.target.dtype, n.shape = b.target.shape(b.samples); break;
    case Field::loss_scale:
      n.dtype = DType::real, n.shape = shape_of(b.text() ? 1 : b.samples);
      break;
    case Field::noise: n.shape = shape_of(b.samples, 2); break;
  }
  return {like.trace, like.trace->push(n)};
}
/// The targets of the batch, for a loss: [samples, extents...].
constexpr Value targets(Value like) {
  return field(like, Field::target);
}

}  // namespace tessera::inline TESSERA_SETTING
