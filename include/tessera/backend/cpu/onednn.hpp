/// What matrix products need of oneDNN, owned and checked, over its C interface of versions 2 and
/// 3. The C++ interface would cost every user's file a second of compile time, and nvcc cannot read
/// it.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/error.hpp>

#include <oneapi/dnnl/dnnl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tessera::onednn {

/// oneDNN has no implementation for these types on this processor.
struct Unimplemented : Error {
  using Error::Error;
};

inline void check(dnnl_status_t status, std::string const& what) {
  if (status == dnnl_unimplemented)
    throw Unimplemented(
        what + ": oneDNN has none for these types on this processor; use Precision<float>");
  if (status != dnnl_success)
    throw Error(what + ": oneDNN refuses it (status " + std::to_string(int(status)) +
                "); DNNL_VERBOSE=1 shows what ran before");
}

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* x) const {
    Destroy(x);
  }
};
template <class T, auto Destroy>
using Owner = std::unique_ptr<T, Destroyer<Destroy>>;

using Primitive = Owner<dnnl_primitive, dnnl_primitive_destroy>;
using Stream = Owner<dnnl_stream, dnnl_stream_destroy>;
using Memory = Owner<dnnl_memory, dnnl_memory_destroy>;

/// owner = what create(&raw) makes.
template <class Owned, class F>
Owned made(std::string const& what, F create) {
  typename Owned::pointer raw = nullptr;
  check(create(&raw), what);
  return Owned(raw);
}

#if DNNL_VERSION_MAJOR >= 3
using Described = const_dnnl_memory_desc_t;
#else
using Described = dnnl_memory_desc_t const*;
#endif

/// A matrix, row and column strides in elements.
class Layout {
 public:
  Layout(std::string const& what, std::int64_t rows, std::int64_t cols, std::int64_t row_stride,
         std::int64_t col_stride, dnnl_data_type_t type = dnnl_f32) {
    dnnl_dims_t const extents{rows, cols}, strides{row_stride, col_stride};
#if DNNL_VERSION_MAJOR >= 3
    desc_ = made<Owner<dnnl_memory_desc, dnnl_memory_desc_destroy>>(what, [&](auto to) {
      return dnnl_memory_desc_create_with_strides(to, 2, extents, type, strides);
    });
#else
    check(dnnl_memory_desc_init_by_strides(&desc_, 2, extents, type, strides), what);
#endif
  }

#if DNNL_VERSION_MAJOR >= 3
  Described get() const {
    return desc_.get();
  }

 private:
  Owner<dnnl_memory_desc, dnnl_memory_desc_destroy> desc_;
#else
  Described get() const {
    return &desc_;
  }

 private:
  dnnl_memory_desc_t desc_;
#endif
};

/// The processor.
class Engine {
 public:
  explicit Engine(std::string const& what)
      : what_(what),
        engine_(made<Owned>(what, [](auto to) { return dnnl_engine_create(to, dnnl_cpu, 0); })) {}

  dnnl_engine_t get() const { return engine_.get(); }
  Stream stream() const {
    return made<Stream>(
        what_, [&](auto to) { return dnnl_stream_create(to, get(), dnnl_stream_default_flags); });
  }
  /// An operand; where it lies is said before each run.
  Memory memory(Described layout) const {
    return made<Memory>(
        what_, [&](auto to) { return dnnl_memory_create(to, layout, get(), DNNL_MEMORY_NONE); });
  }

 private:
  using Owned = Owner<dnnl_engine, dnnl_engine_destroy>;
  std::string what_;
  Owned engine_;
};

/// Scratch comes from the caller; what happens to the product before it is stored.
class Attributes {
 public:
  explicit Attributes(std::string const& what)
      : what_(what),
        attributes_(made<Owned>(what, [](auto to) { return dnnl_primitive_attr_create(to); })),
        after_(made<After>(what, [](auto to) { return dnnl_post_ops_create(to); })) {
    check(dnnl_primitive_attr_set_scratchpad_mode(attributes_.get(), dnnl_scratchpad_mode_user),
          what);
  }

  void then_sum() {
#if DNNL_VERSION_MAJOR >= 3
    check(dnnl_post_ops_append_sum(after_.get(), 1, 0, dnnl_data_type_undef), what_);
#else
    check(dnnl_post_ops_append_sum(after_.get(), 1), what_);
#endif
    set();
  }
  void then_add(Layout const& other) {
    check(dnnl_post_ops_append_binary(after_.get(), dnnl_binary_add, other.get()), what_);
    set();
  }
  const_dnnl_primitive_attr_t get() const {
    return attributes_.get();
  }

 private:
  void set() {
    check(dnnl_primitive_attr_set_post_ops(attributes_.get(), after_.get()), what_);
  }

  using Owned = Owner<dnnl_primitive_attr, dnnl_primitive_attr_destroy>;
  using After = Owner<dnnl_post_ops, dnnl_post_ops_destroy>;
  std::string what_;
  Owned attributes_;
  After after_;
};

/// A chosen implementation of C = A B (+ bias).
///
/// oneDNN lists several, its own favourite first. On AVX-512 that is brgemm, which reads B where it
/// lies: rows of 3,072 floats all fall on the same cache sets, and it drops to a third of its speed
/// (oneDNN 2.6.3, [1024, 768] x [768, 3072] on one core: 50 against 150 GFLOP/s). The product that
/// packs its operands first holds its speed at every shape of a GPT-2 step, so it is preferred:
/// where it is offered, and where its scratch stays within the limit. With a 16-bit C it wants all
/// of C as floats.
class Matmul {
 public:
  Matmul(std::string const& what, Engine const& engine, Layout const& a, Layout const& b,
         Layout const* bias, Layout const& c, Attributes const& attributes, Bytes limit)
      : what_(what) {
    Described const biases = bias ? bias->get() : nullptr;
#if DNNL_VERSION_MAJOR >= 3
    auto const favourite = [&] {
      return made<Owned>(what, [&](auto to) {
        return dnnl_matmul_primitive_desc_create(to, engine.get(), a.get(), b.get(), biases,
                                                 c.get(), attributes.get());
      });
    };
    chosen_ = favourite();
    while (!packs_within(limit))
      if (dnnl_primitive_desc_next_impl(chosen_.get()) != dnnl_success) {
        chosen_ = favourite();
        break;
      }
#else
    dnnl_matmul_desc_t wanted;
    check(dnnl_matmul_desc_init(&wanted, a.get(), b.get(), biases, c.get()), what);
    auto const list =
        made<Owner<dnnl_primitive_desc_iterator, dnnl_primitive_desc_iterator_destroy>>(
            what, [&](auto to) {
              return dnnl_primitive_desc_iterator_create(to, &wanted, attributes.get(),
                                                         engine.get(), nullptr);
            });
    auto const here = [&] { return Owned(dnnl_primitive_desc_iterator_fetch(list.get())); };
    Owned favourite = here();
    for (chosen_ = here(); !packs_within(limit); chosen_ = here())
      if (dnnl_primitive_desc_iterator_next(list.get()) != dnnl_success) {
        chosen_ = std::move(favourite);
        break;
      }
#endif
  }

  /// Lives as long as this.
  Described scratch() const {
    return dnnl_primitive_desc_query_md(chosen_.get(), dnnl_query_scratchpad_md, 0);
  }
  Bytes scratch_bytes() const {
    return Bytes(dnnl_memory_desc_get_size(scratch()));
  }
  Primitive primitive() const {
    return made<Primitive>(what_,
                           [&](auto to) { return dnnl_primitive_create(to, chosen_.get()); });
  }

 private:
  bool packs_within(Bytes limit) const {
    char const* name = nullptr;
    check(dnnl_primitive_desc_query(chosen_.get(), dnnl_query_impl_info_str, 0,
                                    static_cast<void*>(&name)),
          what_);
    return name && std::string_view(name).starts_with("gemm:jit") && scratch_bytes() <= limit;
  }

  using Owned = Owner<dnnl_primitive_desc, dnnl_primitive_desc_destroy>;
  std::string what_;
  Owned chosen_;
};

}  // namespace tessera::onednn
