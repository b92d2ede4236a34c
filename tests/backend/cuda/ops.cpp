// cuda
/// Ops that multiply matrices, on the CUDA backend's double beside the CPU.
#include <tessera/op/cross_entropy.hpp>
#include <tessera/op/matmul.hpp>

#include "../../kernels/check.hpp"
#include "device.hpp"

#include <tuple>
#include <utility>

using namespace tessera;
using namespace tessera::test;

namespace {

template <class T>
std::vector<T> stored(std::int64_t n, std::uint64_t seed, double scale = 0.3) {
  std::vector<T> v;
  for (double const x : values<double>(n, seed)) v.push_back(T(scale * x));
  return v;
}
template <class T>
std::vector<double> wide(std::vector<T> const& v) {
  std::vector<double> to;
  for (T const x : v) to.push_back(double(float(x)));
  return to;
}

/// What an op reads and writes, on the device, while run(stream) works on it.
template <class... T>
struct OnDevice {
  Stream stream;
  std::tuple<Buffer<T>...> buffers;
  explicit OnDevice(std::vector<T> const&... from) : buffers(Of<T>{from, stream}...) {}

  template <std::size_t I>
  auto* at() const {
    return std::get<I>(buffers).get();
  }
  template <std::size_t I>
  auto read() const {
    return std::get<I>(buffers).read();
  }

 private:
  template <class U>
  struct Of {
    std::vector<U> const& from;
    Stream const& stream;
    operator Buffer<U>() const { return Buffer<U>(from, stream); }
  };
};

/// How far results of a type that sums k products may be apart.
template <class T>
double rounding(std::int64_t k) {
  return double(k + 2) * 2e-7 + (std::is_same_v<T, bf16> ? 1.0 / 128 : sizeof(T) == 2 ? 1e-3 : 0);
}

/// f on cores' memory, and the same on the device's: out of both.
template <class O, class Out, class F, class... T>
void same(Signature const& s, double within, std::vector<Out> const& out, F const& run,
          std::vector<T> const&... in) {
  std::vector<Out> expected = out;
  {
    auto state = kernels<O, Cpu>::prepare(s);
    std::vector<std::byte> workspace(std::size_t(kernels<O, Cpu>::workspace(s)));
    Call call{.workspace = workspace.data(), .state = &state};
    run.template operator()<Cpu>(call, expected.data(), in.data()...);
  }
  auto state = kernels<O, Cuda>::prepare(s);
  std::vector<std::byte> const workspace(std::size_t(kernels<O, Cuda>::workspace(s)));
  OnDevice<Out, std::byte, T...> const device(out, workspace, in...);
  Call call{.workspace = device.template at<1>(), .queue = device.stream.get(), .state = &state};
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    run.template operator()<Cuda>(call, device.template at<0>(), device.template at<2 + I>()...);
  }
  (std::index_sequence_for<T...>{});
  device.stream.wait();
  CHECK(distance(device.template read<0>(), wide(expected)) < within);
}

}  // namespace

TEST_CASE_TEMPLATE("products of layers meet the CPU's", T, float, bf16, fp16) {
  std::int64_t const rows = 33, in = 40, out = 24;
  auto const x = stored<T>(rows * in, 1), w = stored<T>(out * in, 2), b = stored<T>(out, 3),
             dy = stored<T>(rows * out, 4);
  Shape const of_x = shape_of(rows, in), of_w = shape_of(out, in), of_b = shape_of(out),
              of_y = shape_of(rows, out);
  DType const low = dtype_of<T>;
  same<MatmulBias>(
      {.out = of_y, .in = {of_x, of_w, of_b}, .low = low}, rounding<T>(in), dy,
      [&]<class B>(Call const& c, T* y, T const* x_, T const* w_, T const* b_) {
        kernels<MatmulBias, B>::template run<T>(c, {y, of_y}, {x_, of_x}, {w_, of_w}, {b_, of_b});
      },
      x, w, b);
  same<Matmul>(
      {.out = of_y, .in = {of_x, of_w}, .low = low}, rounding<T>(in), dy,
      [&]<class B>(Call const& c, T* y, T const* x_, T const* w_) {
        kernels<Matmul, B>::template run<T>(c, {y, of_y}, {x_, of_x}, {w_, of_w});
      },
      x, w);
  same<MatmulInput>(
      {.out = of_x, .in = {of_y, of_w}, .low = low}, rounding<T>(out), x,
      [&]<class B>(Call const& c, T* dx, T const* dy_, T const* w_) {
        kernels<MatmulInput, B>::template run<T>(c, {dx, of_x}, {dy_, of_y}, {w_, of_w});
      },
      dy, w);
  for (bool const accumulate : {false, true})
    same<MatmulWeight>(
        {.out = of_w, .in = {of_y, of_x}, .low = low}, rounding<float>(rows),
        stored<float>(out * in, 5),
        [&]<class B>(Call c, float* dw, T const* dy_, T const* x_) {
          c.accumulate[0] = accumulate;
          kernels<MatmulWeight, B>::template run<T>(c, {dw, of_w}, {dy_, of_y}, {x_, of_x});
        },
        dy, x);
}

TEST_CASE_TEMPLATE("the loss and its gradients meet the CPU's", T, float, bf16, fp16) {
  std::int64_t const width = 16;
  // The CPU takes a second block of 16-bit words; the device never does.
  for (auto const& [tokens, vocabulary] :
       {std::pair<std::int64_t, std::int64_t>{9, 100}, {5, 3300}}) {
    Shape const of_x = shape_of(tokens, width), of_w = shape_of(vocabulary, width),
                of_targets = shape_of(tokens), one = shape_of(1);
    std::int64_t const words = vocabulary;  // as clang captures no bindings
    CAPTURE(words);
    auto const x = stored<T>(of_x.count(), 1), w = stored<T>(of_w.count(), 2);
    std::vector<std::int32_t> targets;
    for (std::int64_t r = 0; r < of_targets.count(); ++r)
      targets.push_back(r % 4 == 3 ? -1 : std::int32_t(r * 977 % of_w[0]));
    std::vector<float> const scale{0.125f}, dy{2};
    DType const low = dtype_of<T>;
    auto const forward = [&]<class B>(Call const& c, float* loss, T const* x_, T const* w_,
                                      std::int32_t const* t, float const* s) {
      kernels<LinearCrossEntropy, B>::template run<T>(c, {loss, one}, {x_, of_x}, {w_, of_w},
                                                      {t, of_targets}, {s, one});
    };
    same<LinearCrossEntropy>({.out = one, .in = {of_x, of_w, of_targets, one}, .low = low}, 1e-5,
                             std::vector<float>{7}, forward, x, w, targets, scale);
    // Of its three results each is compared, the others lie in memory of their own.
    Signature const s{.out = of_x, .in = {one, of_x, of_w, of_targets, one}, .low = low};
    std::vector<T> const dx(x.size(), T(7.f));
    std::vector<float> const dweight(w.size(), 7), loss{7};
    auto const all = [&]<class B>(Call const& c, T* dx_, float* dw_, float* loss_, float const* up,
                                  T const* x_, T const* w_, std::int32_t const* t,
                                  float const* s_) {
      kernels<LinearCrossEntropyInput, B>::template run<T>(c, {dx_, of_x}, {up, one}, {x_, of_x},
                                                           {w_, of_w}, {t, of_targets}, {s_, one},
                                                           {dw_, of_w}, {loss_, one});
    };
    same<LinearCrossEntropyInput>(
        s, rounding<T>(16) * 4, dx,
        [&]<class B>(Call const& c, T* dx_, float const* dw_, float const* l_, auto const*... in) {
          all.template operator()<B>(c, dx_, const_cast<float*>(dw_), const_cast<float*>(l_),
                                     in...);
        },
        dweight, loss, dy, x, w, targets, scale);
    for (bool const accumulate : {false, true})
      same<LinearCrossEntropyInput>(
          s, rounding<T>(16) * 4, dweight,
          [&]<class B>(Call c, float* dw_, T const* dx_, float const* l_, auto const*... in) {
            c.accumulate[1] = accumulate;
            all.template operator()<B>(c, const_cast<T*>(dx_), dw_, const_cast<float*>(l_), in...);
          },
          dx, loss, dy, x, w, targets, scale);
    same<LinearCrossEntropyInput>(
        s, 1e-5, loss,
        [&]<class B>(Call const& c, float* l_, T const* dx_, float const* dw_, auto const*... in) {
          all.template operator()<B>(c, const_cast<T*>(dx_), const_cast<float*>(dw_), l_, in...);
        },
        dx, dweight, dy, x, w, targets, scale);
  }
}
