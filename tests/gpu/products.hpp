/// Matrix products and attention of the CUDA backend beside their definitions in double.
#pragma once

#include <tessera/backend/cuda/attention.hpp>
#include <tessera/backend/cuda/gemm.hpp>

#include "../kernels/attention.hpp"
#include "judge.hpp"

namespace tessera::test {

/// C [m, n] of products in double, and where a bias, or what was there, is added.
template <class In>
std::vector<double> multiplied(GemmShape const& s, std::vector<In> const& a,
                               std::vector<In> const& b) {
  std::vector<double> c(std::size_t(s.m * s.n));
#pragma omp parallel for
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t k = 0; k < s.k; ++k) {
      double const x = double(a[std::size_t(s.transpose_a ? k * s.m + i : i * s.k + k)]);
      for (std::int64_t n = 0; n < s.n; ++n)
        c[std::size_t(i * s.n + n)] +=
            x * double(b[std::size_t(s.transpose_b ? n * s.k + k : k * s.n + n)]);
    }
  return c;
}

template <class In, class Out>
void check_product(Judge& j, std::string const& what, GemmShape shape) {
  shape.in = dtype_of<In>, shape.out = dtype_of<Out>;
  auto const a = values<In>(shape.m * shape.k, 1), b = values<In>(shape.k * shape.n, 2),
             bias = values<In>(shape.n, 3);
  auto const before = values<float>(shape.m * shape.n, 4);
  auto expected = multiplied(shape, a, b);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (shape.bias) expected[i] += double(bias[i % bias.size()]);
    if (shape.accumulate || shape.add) expected[i] += double(before[i]);
  }
  CudaGemm<float> const product(shape, Cuda::gemm_workspace);
  Buffer<In> const left(j.put(a)), right(j.put(b)), more(j.put(bias));
  Buffer<float> const held(j.put(before));
  auto const workspace = j.put(std::vector<std::byte>(std::size_t(product.workspace()) + 1));
  std::string const name = what + ", " + type_name<In> + " of " + shape.text();
  // Sums in float, of which cuBLASLt may keep parts apart, in C's type at worst.
  double const bound = double(shape.k + 8) * unit<float> + (sizeof(Out) == 2 ? 2 * unit<Out> : 0);
  auto const run = [&](auto const& to) {
    product.run(left.get(), right.get(), to.get(), shape.bias ? more.get() : nullptr,
                shape.add ? held.get() : nullptr, workspace.get(), j.stream());
    j.check(name, to, expected, bound);
  };
  if constexpr (std::is_same_v<Out, float>) {
    if (shape.accumulate) return run(held);
  }
  run(j.blank<Out>(shape.m * shape.n));
}

/// A layer's products: forward, its input's gradient and its weight's, rows · in -> out.
template <class T>
void check_products(Judge& j) {
  struct Layer {
    std::int64_t rows, in, out;
  };
  for (Layer const& l : j.small ? std::vector<Layer>{{33, 57, 41}}
                                : std::vector<Layer>{{512, 768, 3072}, {33, 57, 41}, {1, 1, 7}}) {
    GemmShape const forward{.m = l.rows, .n = l.out, .k = l.in, .transpose_b = true};
    GemmShape with_bias = forward, added = forward;
    with_bias.bias = true, added.add = true;
    check_product<T, T>(j, "product", forward);
    check_product<T, T>(j, "product and bias", with_bias);
    check_product<T, float>(j, "product added to another", added);
    check_product<T, T>(j, "input's gradient", {.m = l.rows, .n = l.in, .k = l.out});
    for (bool const accumulate : {false, true})
      check_product<T, float>(
          j, accumulate ? "weight's added gradient" : "weight's gradient",
          {.m = l.out, .n = l.in, .k = l.rows, .transpose_a = true, .accumulate = accumulate});
  }
}

template <class T>
void check_attention(Judge& j, AttentionShape const& s, bool packed) {
  Attending const a(s, packed);
  auto const qkv = values<T>(a.inputs(), 1), dy = values<T>(a.outputs(), 2);
  Buffer<T> const in(j.put(qkv)), up(j.put(dy));
  auto const y = j.blank<T>(a.outputs()), dqkv = j.blank<T>(a.inputs());
  auto const log_sum = j.blank<float>(a.log_sums());
  auto const documents = j.put(packed ? a.table : std::vector<std::int32_t>(1));
  AttentionTask const there{s, dtype_of<T>, false, packed}, back{s, dtype_of<T>, true, packed};
  CudaAttention forward(there), back_pass(back);
  auto const workspace = j.put(std::vector<std::byte>(std::size_t(
      std::max({Bytes(1), CudaAttention::workspace(there), CudaAttention::workspace(back)}))));
  AttentionOperands const x{in.get(), packed ? documents.get() : nullptr, y.get(), log_sum.get()};
  std::string const name = ", " + (type_name<T> + (" of " + a.text()));
  for (auto const* made : {&forward, &back_pass})
    if (std::string const said(made->remark()); !said.empty()) std::printf("%s\n", said.c_str());
  // exp makes a score's error, some scores are above 4, one of its weight.
  double const of_weights = 4 * of_sum(s.width) + 2 * of_sum(s.tokens);
  // Matrix units take weights and slopes in 16 bits; the worst of many sums errs by some units.
  auto const rounded = [](CudaAttention const& made, double units) {
    return made.by_cudnn() ? units * unit<T> : 0;
  };
  forward.forward(x, workspace.get(), j.stream());
  auto const by = [](CudaAttention const& made) { return made.by_cudnn() ? " by cuDNN" : ""; };
  j.check("attention" + (by(forward) + name), y, a.plain(qkv),
          roundings<T>(of_weights) + rounded(forward, 8));
  back_pass.backward(x, up.get(), dqkv.get(), workspace.get(), j.stream());
  j.check("attention's gradient" + (by(back_pass) + name), dqkv, a.gradient(qkv, dy, y.read()),
          roundings<T>(2 * of_weights) + rounded(back_pass, 16));
}

/// Documents, as a kernel finds them, beside those that the table of cores has.
inline void check_documents(Judge& j, Attending const& a) {
  Buffer<std::int32_t> const tokens(j.put(a.tokens));
  auto const found = j.put(std::vector<std::int32_t>(a.table.size(), -1));
  j.run(kernel::Documents{found.get(), tokens.get(), a.shape.batch, a.shape.tokens, 0});
  j.check("documents of " + std::to_string(a.shape.tokens) + " tokens", found, wide(a.table), 0, 0);
}

/// The kernels that the others are held to elsewhere, in fp32.
inline void check_plain_attention(Judge& j, Attending const& a) {
  auto const qkv = values<float>(a.inputs(), 1), dy = values<float>(a.outputs(), 2);
  Buffer<float> const in(j.put(qkv)), up(j.put(dy));
  Buffer<std::int32_t> const documents(j.put(a.table));
  auto const y = j.blank<float>(a.outputs()), dqkv = j.blank<float>(a.inputs()),
             log_sum = j.blank<float>(a.log_sums());
  j.run(kernel::Attention<float>{y.get(), log_sum.get(), in.get(), a.shape, documents.get()});
  j.run(kernel::AttentionInput<float>{dqkv.get(), up.get(), in.get(), y.get(), log_sum.get(),
                                      a.shape, documents.get()});
  double const bound = roundings<float>(2 * of_sum(a.shape.tokens));
  j.check("plain attention, " + a.text(), y, a.plain(qkv), bound);
  j.check("plain attention's gradient, " + a.text(), dqkv, a.gradient(qkv, dy, y.read()),
          4 * bound);
}

template <class T>
void check_attention(Judge& j) {
  if (!j.small) {
    check_attention<T>(j, {1, 512, 12, 12, 64}, false);
    check_attention<T>(j, {1, 384, 8, 2, 128, true, 200}, false);
    check_attention<T>(j, {2, 320, 4, 4, 64, false}, false);
  }
  check_attention<T>(j, {2, 36, 4, 2, 16, false, 7}, false);
  check_attention<T>(j, {1, 33, 2, 2, 24}, false);
  check_attention<T>(j, {2, 33, 4, 2, 20}, true);
  check_attention<T>(j, {1, 37, 2, 1, 5, false}, false);
  check_attention<T>(j, {1, 150, 1, 1, 33, false, 9}, true);
  if constexpr (std::is_same_v<T, float>) {
    check_documents(j, Attending({3, 127, 1, 1, 1}, true));
    check_plain_attention(j, Attending({1, 13, 4, 2, 20}, true));
  }
}

}  // namespace tessera::test
