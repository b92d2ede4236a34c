// cuda
/// Arrays that a lane is handed, wherever they begin and however long they are: the CPU's bits.
#include <tessera/backend/cuda/team.hpp>

#include <tessera/kernels/activation.hpp>
#include <tessera/kernels/adam.hpp>
#include <tessera/kernels/elementwise.hpp>

#include "../../kernels/check.hpp"
#include "device.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class T>
std::vector<T> stored(std::int64_t n, std::uint64_t seed) {
  std::vector<T> v;
  for (float const x : values<float>(n, seed)) v.push_back(T(x));
  return v;
}
template <class T>
bool same(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// Elements behind the n that a kernel is given: they stay.
constexpr std::int64_t rest = 8;

/// f(elements before the first that is aligned, n)
template <class F>
void each_place(F const& f) {
  for (std::size_t const before : {0, 1, 4, 8})
    for (std::int64_t const n : {1, 7, 31, 128, 129, 768, 1000, 4096, 5000}) {
      CAPTURE(before);
      CAPTURE(n);
      f(before, n);
    }
}

}  // namespace

TEST_CASE_TEMPLATE("sums of two types", T, float, bf16, fp16) {
  each_place([](std::size_t before, std::int64_t n) {
    auto const a = stored<float>(n, 1), old = stored<float>(n + rest, 3);
    auto const b = stored<T>(n, 2);
    std::vector<float> sum = old;
    Shape const s = shape_of(n);
    CpuTeam{}.run(kernel::Add<float, T>{view(sum, s), view(a), view(b)});
    Stream const stream;
    Buffer<float> const x(a, stream), y(old, stream, before * sizeof(float));
    Buffer<T> const z(b, stream, before * sizeof(T));
    CudaTeam const team{stream.get()};
    team.run(kernel::Add<float, T>{{y.get(), s}, {x.get(), s}, {z.get(), s}});
    CHECK(same(y.read(), sum));
    team.run(kernel::Add<float, T>{{x.get(), s}, {x.get(), s}, {z.get(), s}});
    CHECK(same(x.read(), {sum.begin(), sum.end() - rest}));
  });
}

TEST_CASE_TEMPLATE("a slope in its input's place", T, float, bf16) {
  each_place([](std::size_t before, std::int64_t n) {
    auto const in = stored<T>(n, 1);
    std::vector<T> y(in.size()), slope(in.size());
    CpuTeam{}.run(kernel::Gelu<T>{view(y), view(slope), view(in)});
    Stream const stream;
    Buffer<T> const x(in, stream, before * sizeof(T)), to(in, stream);
    Shape const s = shape_of(n);
    CudaTeam{stream.get()}.run(kernel::Gelu<T>{{to.get(), s}, {x.get(), s}, {x.get(), s}});
    CHECK(distance(to.read(), std::vector<double>(y.begin(), y.end())) < 1e-6);
    CHECK(distance(x.read(), std::vector<double>(slope.begin(), slope.end())) < 1e-6);
  });
}

TEST_CASE("weights in two halves, with their states") {
  each_place([](std::size_t before, std::int64_t n) {
    Halves w(stored<float>(n + rest, 1));
    auto m = stored<float>(n + rest, 2), v = stored<float>(n + rest, 3);
    auto const g = stored<float>(n, 4);
    for (float& x : v) x = std::abs(x);
    Stream const stream;
    Buffer<bf16> const high(w.high, stream, 2 * before);
    Buffer<std::int16_t> const low(w.low, stream, 2 * before);
    Buffer<float> const first(m, stream), second(v, stream), gradient(g, stream, 4 * before);
    using Step = kernel::AdamW<float, kernel::Split>;
    auto const step = [&](kernel::Split weights, float* means, float* squares, float const* from) {
      return Step{weights, {means}, {squares}, from, n, 0.01, 0.9, 0.999, 1e-8, 0.1, 1.5, 1.25};
    };
    CpuTeam{}.run(step(w.weights(), m.data(), v.data(), g.data()));
    CudaTeam{stream.get()}.run(
        step({high.get(), low.get()}, first.get(), second.get(), gradient.get()));
    CHECK(same(high.read(), w.high));
    CHECK(same(low.read(), w.low));
    CHECK(same(first.read(), m));
    CHECK(same(second.read(), v));
  });
}

namespace {

/// Each verb reads what the one before it wrote, thread by thread another's.
struct Chain {
  float* x;
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return 2; }
  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    float* const row = x + r * (n + 1);
    std::int64_t const last = n;
    for (int turn = 0; turn < 4; ++turn) {
      lane.once([=] { row[last] += row[0]; });
      lane.each(last, [=](std::int64_t i) { row[i] += row[last]; });
      float const all = lane.sum(last, [=](std::int64_t i) { return row[last - 1 - i]; });
      lane.once([=] { row[last] = all; });
    }
  }
};

}  // namespace

TEST_CASE("a verb sees what the one before it wrote") {
  std::int64_t const n = 300;
  auto x = stored<float>(2 * (n + 1), 9);
  Stream const stream;
  Buffer<float> const there(x, stream);
  CpuTeam{}.run(Chain{x.data(), n});
  CudaTeam{stream.get()}.run(Chain{there.get(), n});
  CHECK(same(there.read(), x));
}
