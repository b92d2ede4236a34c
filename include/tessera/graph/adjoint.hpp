/// Reverse differentiation as a rewrite. The pass walks; what an op's gradient is, the op says.
#pragma once

#include <tessera/graph/op.hpp>

namespace tessera::inline TESSERA_SETTING {

/// What an op's adjoint sees of the node it differentiates.
struct Adjoint {
  Tape& t;
  int node, upstream;
  std::vector<int>& grad;  // per forward node: the node that holds its gradient so far
  Op const& sum;           // a + b
  Op const& into;          // out += x

  constexpr Value at(int id) const { return {&t, id}; }
  constexpr Value dy() const { return at(upstream); }
  constexpr Value y() const { return at(node); }
  constexpr Value in(int k) const { return at(t.nodes[node].in[k]); }
  constexpr Value extra(int k) const { return at(t.nodes[node].extra[k]); }
  /// Extra output k of a node of the backward pass.
  constexpr Value extra_of(Value v, int k) const { return at(t.nodes[v.id].extra[k]); }
  constexpr Settings settings() const { return {t.nodes[node].attribute, t.nodes[node].number}; }

  /// d is a contribution to the gradient of operand k. A value's gradient is stored like the value,
  /// a parameter's in full: it collects every contribution of the step.
  constexpr void to(int k, Value d) const {
    int const v = t.nodes[node].in[k];
    if (d.shape() != t.nodes[v].shape)
      throw "differentiate: an adjoint gives a gradient whose shape differs from the operand's";
    if (t.nodes[v].role == Role::data) return;
    bool const parameter = t.nodes[v].role == Role::parameter;
    if (parameter && t.frozen[t.nodes[v].parameter]) return;
    DType const type = parameter ? DType::real : t.nodes[v].dtype;
    d.id = stored_as(t, d.id, type);
    if (parameter) return to_parameter(v, d);
    if (grad[v] >= 0)
      d.id = stored_as(t, append(t, sum, {.in = {grad[v], d.id, -1, -1, -1, -1}}).id, type);
    grad[v] = d.id;
  }

 private:
  /// The flat gradient buffer receives it, without a copy where the op can add to what is there.
  constexpr void to_parameter(int v, Value d) const {
    int const last = int(t.nodes.size()) - 1;
    bool const main = d.id == last && t.nodes[last].op;
    bool direct = main && (t.nodes[last].op->traits.accumulates & 1u) && d.id != upstream;
    for (int k = 0; k < extras; ++k)
      if (t.nodes[last].op && t.nodes[last].extra[k] == d.id)
        direct = (t.nodes[last].op->traits.accumulates >> (1 + k)) & 1u;
    int const holder = direct ? d.id : append(t, into, {.in = {d.id, -1, -1, -1, -1, -1}}).id;
    t.nodes[holder].grad_of = v;
    t.nodes[holder].accumulate = grad[v] >= 0;
    grad[v] = holder;
  }
};

/// The op that runs kernels<O, B>::backward for operand K: what by_kernels emits.
template <class O, int K>
struct Backward {
  static constexpr auto text = [] {
    std::array<char, O::name.size() + 3> s{};
    for (std::size_t i = 0; i < O::name.size(); ++i) s[i] = O::name[i];
    s[O::name.size()] = '_', s[O::name.size() + 1] = 'd', s[O::name.size() + 2] = char('0' + K);
    return s;
  }();
  static constexpr std::string_view name{text.data(), text.size()};
  static constexpr int inputs = 1 + arity<O> + extra_count<O>;
  static_assert(inputs <= operands, "by_kernels: too many operands; write the adjoint out");
  static constexpr auto adjoint = backward_only;
  template <std::same_as<Shape>... S>
  static constexpr Shape shape(Shape, S... in) {
    Shape const s[]{in...};
    return s[K];
  }
};

template <class O, int K, class B>
struct kernels<Backward<O, K>, B> {
#ifdef __CUDACC__
#pragma nv_exec_check_disable
#endif
  template <class Where, class... T>
  requires requires(Where const& w, T... t) {
    kernels<O, B>::backward(Wrt<K>{}, w, t...);
  }
  static void run(Where const& w, T... t) {
    kernels<O, B>::backward(Wrt<K>{}, w, t...);
  }
};

namespace detail {

template <class O, int K>
constexpr void by_kernel(Adjoint& d) {
  Node n{};
  int k = 0;
  n.in[k++] = d.upstream;
  for (int i = 0; i < arity<O>; ++i) n.in[k++] = d.t.nodes[d.node].in[i];
  for (int i = 0; i < extra_count<O>; ++i) n.in[k++] = d.t.nodes[d.node].extra[i];
  n.attribute = d.settings().attribute, n.number = d.settings().number;
  d.to(K, append(d.t, table<Backward<O, K>>, n));
}

}  // namespace detail

template <class O>
constexpr void adjoint_of(Adjoint& d) {
  if constexpr (requires { O::adjoint(d); })
    O::adjoint(d);
  else
    [&]<int... K>(ByKernels<K...>) {
      (detail::by_kernel<O, K>(d), ...);
    }
  (O::adjoint);
}

/// Appends the backward pass of the graph whose result is its last node. `loss`: the result is the
/// loss, and ops that compute it on the way of their gradient are not run twice.
constexpr void differentiate(Tape& t, bool loss, Op const& sum, Op const& into) {
  int const n = int(t.nodes.size());
  std::vector<int> grad(n, -1);
  t.part = Part::backward;
  grad[n - 1] =
      t.push({.role = Role::seed, .dtype = t.nodes[n - 1].dtype, .shape = t.nodes[n - 1].shape});
  for (int i = n; i-- > 0;) {
    if (grad[i] < 0) continue;
    if (t.nodes[i].role == Role::input) t.nodes[i].grad = grad[i];
    if (t.nodes[i].role != Role::op) continue;
    if (!t.nodes[i].op->adjoint) {
      t.no_adjoint = t.nodes[i].op;
      return;
    }
    t.in_full = t.nodes[i].full;
    Adjoint d{t, i, grad[i], grad, sum, into};
    int const before = int(t.nodes.size());
    t.nodes[i].op->adjoint(d);
    for (int k = before; loss && i == n - 1 && k < int(t.nodes.size()); ++k)
      if (t.nodes[k].op && t.nodes[k].op->traits.result_in_backward > 0)
        t.nodes[i].skip_in_training = true;
  }
}

/// Drops nodes of the backward pass that nobody needs: gradients of data, of frozen parameters.
constexpr Nodes prune(Nodes const& g, bool input_gradient) {
  int const n = int(g.size());
  std::vector<char> needed(n, 0);
  auto const need = [&](int i) {
    if (i >= 0) needed[i] = 1;
  };
  for (int i = 0; i < n; ++i) {
    if (g[i].part == Part::forward || g[i].grad_of >= 0) needed[i] = 1;
    if (g[i].role == Role::input && input_gradient) need(g[i].grad);
    if (g[i].op && g[i].op->traits.result_in_backward > 0) needed[i] = 1;
  }
  for (int i = n; i-- > 0;) {
    for (int e : g[i].extra)
      if (e >= 0 && needed[e]) needed[i] = 1;
    if (!needed[i]) continue;
    for (int j : g[i].in) need(j);
    for (int e : g[i].extra) need(e);
  }
  std::vector<int> place(n, -1);
  int kept = 0;
  for (int i = 0; i < n; ++i)
    if (needed[i]) place[i] = kept++;
  Nodes out;
  out.reserve(kept);
  for (int i = 0; i < n; ++i) {
    if (!needed[i]) continue;
    Node x = g[i];
    auto const move = [&](int& j) { j = j < 0 ? j : place[j]; };
    for (int& j : x.in) move(j);
    for (int& e : x.extra) move(e);
    move(x.grad_of);
    x.grad = x.grad >= 0 && input_gradient ? place[x.grad] : -1;
    out.push_back(x);
  }
  return out;
}

}  // namespace tessera::inline TESSERA_SETTING
