/// Self-attention: qkv [sequences, tokens, (heads + 2 kv_heads) width] -> [sequences, tokens, heads
/// width], q | k | v packed and heads one after another in each. The scores never exist whole:
/// forward keeps the log-sum-exp of every row, backward computes the rest again.
#pragma once

#include <tessera/backend/attention.hpp>
#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>

#include <string>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// One way of attending. The number of heads follows from the operand's shape.
struct AttentionKind {
  int width = 0;       // of one head
  int group = 1;       // query heads that one key and value head serves
  bool causal = true;  // a query sees no key behind it
  int window = 0;      // keys it sees on a side, its own among them; 0: all
  int separator = -1;  // the token that ends a document, beyond which nothing is seen; -1: none

  constexpr AttentionShape of(Shape qkv) const {
    std::int64_t const kv_heads = qkv[-1] / width / (group + 2);
    return {qkv[0], qkv[1], kv_heads * group, kv_heads, width, causal, window};
  }
};

namespace detail {

/// What the ops of one kind share. Operands: Before of the gradient, then qkv, then the rest.
template <AttentionKind K>
struct AttentionRules {
  static constexpr ShapeFault fit(Shape qkv) {
    if (K.window >= qkv[1]) return {K.window, qkv[1] - 1, Misfit::window};
    std::int64_t const group = std::int64_t(K.width) * (K.group + 2);
    return {qkv[-1], round_up(qkv[-1], group)};
  }
  static constexpr Shape result(Shape qkv) {
    if (qkv.rank != 3 || fit(qkv))
      throw "attention: expects [sequences, tokens, (heads + 2 kv_heads) width]";
    return qkv.with(-1, K.of(qkv).all());
  }
  static constexpr Shape log_sum(Shape qkv) { return shape_of(qkv[0], K.of(qkv).heads, qkv[1]); }
  static constexpr Bytes document_bytes(Shape qkv) {
    return K.separator < 0 ? 0 : aligned(qkv[0] * 2 * qkv[1] * Bytes(sizeof(std::int32_t)));
  }
  static constexpr AttentionTask task(Shape qkv, DType low, bool backward) {
    return {K.of(qkv), low, backward, K.separator >= 0};
  }
  static std::byte* rest(Shape qkv, void* workspace) {
    return static_cast<std::byte*>(workspace) + document_bytes(qkv);
  }
  /// Documents of the batch's tokens, at the start of the workspace.
  template <class B>
  static std::int32_t const* documents(View<std::int32_t const> tokens, Call const& c) {
    auto* const to = static_cast<std::int32_t*>(c.workspace);
    B::team::on(c.queue).run(
        kernel::Documents{to, tokens.at, tokens.shape[0], tokens.shape[1], K.separator});
    return to;
  }
};

}  // namespace detail

template <AttentionKind K>
struct AttentionInput : detail::AttentionRules<K> {  // operands: dy, qkv, y, log-sum-exp
  static constexpr std::string_view name = "attention_dx";
  static constexpr std::string_view saving = "scores never written";
  static constexpr Bytes saved(Signature const& s) {
    AttentionShape const a = K.of(s.in[1]);
    return 4 * Bytes(double(a.batch * a.heads) * a.pairs()) * Bytes(sizeof(Real));
  }
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.low_in = 0b0111, .low_out = 0b1};
  static constexpr Shape shape(Shape, Shape qkv, Shape, Shape) { return qkv; }
  static constexpr double flops(Signature const& s) {  // five products
    AttentionShape const a = K.of(s.in[1]);
    return 10.0 * a.pairs() * double(a.batch * a.all());
  }
};
template <AttentionKind K>
struct Attention : detail::AttentionRules<K> {
  using Rules = detail::AttentionRules<K>;
  static constexpr std::string_view name = "attention";
  static constexpr std::string_view saving = "scores never written";
  static constexpr Bytes saved(Signature const& s) {
    AttentionShape const a = K.of(s.in[0]);
    return 2 * Bytes(double(a.batch * a.heads) * a.pairs()) * Bytes(sizeof(Real));
  }
  static constexpr Traits traits{.low_in = 0b1, .low_out = 0b1};
  static constexpr int extras = 1;  // log-sum-exp [sequences, heads, tokens]
  static constexpr ShapeFault check(Shape qkv) { return Rules::fit(qkv); }
  static constexpr Shape shape(Shape qkv) { return Rules::result(qkv); }
  static constexpr Shape extra(int, Shape qkv) { return Rules::log_sum(qkv); }
  static constexpr double flops(Signature const& s) {  // two products
    AttentionShape const a = K.of(s.in[0]);
    return 4.0 * a.pairs() * double(a.batch * a.all());
  }
  static constexpr void adjoint(auto& d) {
    d.to(0, apply<AttentionInput<K>>(d.dy(), d.in(0), d.y(), d.extra(0)));
  }
};

/// The same with the batch's tokens as last operand: they say where documents end.
template <AttentionKind K>
struct DocumentAttentionInput : AttentionInput<K> {
  static constexpr Traits traits{.low_in = 0b00111, .low_out = 0b1};
  static constexpr Shape shape(Shape, Shape qkv, Shape, Shape, Shape) { return qkv; }
};
template <AttentionKind K>
struct DocumentAttention : Attention<K> {
  using Rules = detail::AttentionRules<K>;
  static constexpr ShapeFault check(Shape qkv, Shape) { return Rules::fit(qkv); }
  static constexpr Shape shape(Shape qkv, Shape) { return Rules::result(qkv); }
  static constexpr Shape extra(int, Shape qkv, Shape) { return Rules::log_sum(qkv); }
  static constexpr void adjoint(auto& d) {
    d.to(0, apply<DocumentAttentionInput<K>>(d.dy(), d.in(0), d.y(), d.extra(0), d.in(1)));
  }
};

namespace detail {

/// What the kernels of one kind share: B's attention is made once for each.
template <AttentionKind K, class B, bool Backward>
struct AttentionKernels {
  using Rules = AttentionRules<K>;
  using Made = typename B::Attention;
  static constexpr AttentionTask task(Signature const& s) {
    return Rules::task(s.in[Backward ? 1 : 0], s.low, Backward);
  }
  static constexpr Bytes workspace(Signature const& s) {
    AttentionTask const t = task(s);
    return Rules::document_bytes(s.in[Backward ? 1 : 0]) + Made::workspace(t);
  }
  static constexpr std::string_view choice(Signature const& s) { return Made::choice(task(s)); }
  static Made prepare(Signature const& s) { return Made{task(s)}; }
  static std::string remark(void const* state) {
    return std::string(static_cast<Made const*>(state)->remark());
  }
  static Made& made(Call const& c) { return *static_cast<Made*>(c.state); }
};

}  // namespace detail

template <AttentionKind K, class B>
struct kernels<Attention<K>, B> : detail::AttentionKernels<K, B, false> {
  template <class Low>
  static void run(Call const& c, View<Low> y, View<Low const> qkv, View<Real> log_sum) {
    kernels::made(c).forward({qkv.at, nullptr, y.at, log_sum.at}, c.workspace, c.queue);
  }
};
template <AttentionKind K, class B>
struct kernels<AttentionInput<K>, B> : detail::AttentionKernels<K, B, true> {
  template <class Low>
  static void run(Call const& c, View<Low> dqkv, View<Low const> dy, View<Low const> qkv,
                  View<Low const> y, View<Real const> log_sum) {
    kernels::made(c).backward(
        {qkv.at, nullptr, const_cast<Low*>(y.at), const_cast<Real*>(log_sum.at)}, dy.at, dqkv.at,
        c.workspace, c.queue);
  }
};
template <AttentionKind K, class B>
struct kernels<DocumentAttention<K>, B> : detail::AttentionKernels<K, B, false> {
  using Rules = detail::AttentionRules<K>;
  template <class Low>
  static void run(Call const& c, View<Low> y, View<Low const> qkv, View<std::int32_t const> tokens,
                  View<Real> log_sum) {
    kernels::made(c).forward({qkv.at, Rules::template documents<B>(tokens, c), y.at, log_sum.at},
                             Rules::rest(qkv.shape, c.workspace), c.queue);
  }
};
template <AttentionKind K, class B>
struct kernels<DocumentAttentionInput<K>, B> : detail::AttentionKernels<K, B, true> {
  using Rules = detail::AttentionRules<K>;
  template <class Low>
  static void run(Call const& c, View<Low> dqkv, View<Low const> dy, View<Low const> qkv,
                  View<Low const> y, View<Real const> log_sum, View<std::int32_t const> tokens) {
    kernels::made(c).backward({qkv.at, Rules::template documents<B>(tokens, c),
                               const_cast<Low*>(y.at), const_cast<Real*>(log_sum.at)},
                              dy.at, dqkv.at, Rules::rest(qkv.shape, c.workspace), c.queue);
  }
};
static_assert(complete<Attention<AttentionKind{.width = 8}>> &&
              complete<DocumentAttention<AttentionKind{.width = 8, .separator = 0}>>);

/// Attention of one kind. With a separator it reads the batch's tokens.
template <AttentionKind K>
constexpr Value attention(Value qkv) {
  if constexpr (K.separator < 0)
    return apply<Attention<K>>(qkv);
  else
    return apply<DocumentAttention<K>>(qkv, field(qkv, Field::input));
}

}  // namespace tessera::inline TESSERA_SETTING
