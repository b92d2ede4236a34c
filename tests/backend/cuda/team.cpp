// cuda
/// Lanes alone: what a verb writes, the next one sees, whichever thread runs first, and it does not
/// overwrite what another thread still reads; reductions are those of a core; short rows are given
/// to warps.
#include <tessera/backend/cuda/team.hpp>

#include "../../kernels/check.hpp"
#include "device.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

using cuda::BlockThreads;
using cuda::WarpThreads;

/// In each order of the double's threads, and rows beside each other in a block.
constexpr std::int64_t many = 16;

enum class Verb { each, packs, sum, max, once, room };
constexpr Verb verbs[]{Verb::each, Verb::packs, Verb::sum, Verb::max, Verb::once, Verb::room};

/// A row of integers that verbs change: each reads what other threads wrote in the verb before, and
/// writes what others read there.
struct Row {
  std::uint32_t *from, *to, *shared;
  std::int64_t n;
  std::uint32_t seen;

  TESSERA_BOTH void swap() {
    std::uint32_t* const was = from;
    from = to, to = was;
  }

  template <Lane L>
  TESSERA_BOTH void play(L const& lane, Verb verb) {
    std::uint32_t *const in = from, *const out = to, *const one = shared, more = seen;
    std::int64_t const last = n - 1;
    switch (verb) {
      case Verb::each:
        lane.each(n, [=](std::int64_t i) { out[i] = 3 * in[last - i] + *one + more; });
        break;
      case Verb::packs:
        lane.each(
            n,
            [=](std::int64_t i, std::uint32_t& x, std::uint32_t const& y) {
              x = 5 * y + in[last - i] + *one;
            },
            out, in);
        break;
      case Verb::sum:
        seen = lane.sum(n, [=](std::int64_t i) {
          out[i] = in[i] + 1;
          return in[last - i] * std::uint32_t(i + 1) + *one;
        });
        break;
      case Verb::max:
        seen = std::uint32_t(
            lane.max(n, [=](std::int64_t i) { return float((in[last - i] ^ *one) >> 10); }));
        return;  // what it reads the next verb reads, too
      case Verb::once:
        lane.once([=] { *one += in[0] + 7 * in[last / 2] + 11 * in[last] + more, out[0] ^= *one; });
        break;
      case Verb::room:
        auto room = lane.template room<std::uint32_t, 512, Row>();
        std::uint32_t* const kept = room.at();
        lane.each(n, [=](std::int64_t i) { kept[i] = in[last - i] + *one; });
        lane.each(n, [=](std::int64_t i) { out[i] = 7 * kept[last - i] + more; });
    }
    swap();
  }
};

/// Every verb behind every other.
struct Chain {
  std::uint32_t* x;  // [many, 2 n + 4]
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return many; }
  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    std::uint32_t* const at = x + r * (2 * n + 4);
    Row row{at, at + n, at + 2 * n, n, 1};
    for (Verb const first : verbs)
      for (Verb const then : verbs) row.play(lane, first), row.play(lane, then);
  }
};

/// sum and max of n numbers.
struct Reductions {
  float *sums, *most;  // [many]
  float const* x;
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return many; }
  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    float const* const at = x + r;
    float const sum = lane.sum(n, [=](std::int64_t i) { return at[i]; });
    float const highest = lane.max(n, [=](std::int64_t i) { return at[i]; });
    float *const sum_to = sums + r, *const most_to = most + r;
    lane.once([=] { *sum_to = sum, *most_to = highest; });
  }
};

struct Told {
  int* threads;
  std::int64_t width;

  TESSERA_BOTH std::int64_t rows() const { return many; }
  TESSERA_BOTH std::int64_t cols() const { return width; }
  template <class Threads>
  TESSERA_BOTH void operator()(ThreadsLane<Threads> const& lane, std::int64_t r) const {
    int* const to = threads + r;
    lane.once([=] { *to = Threads::count; });
  }
};
struct AlwaysShort : Told {
  TESSERA_BOTH static constexpr std::int64_t cols() { return 1; }
};
struct SaysNothing {
  int* threads;
  TESSERA_BOTH std::int64_t rows() const { return many; }
  template <class Threads>
  TESSERA_BOTH void operator()(ThreadsLane<Threads> const& lane, std::int64_t r) const {
    Told{threads, 0}(lane, r);
  }
};

template <class T>
bool same(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

TEST_CASE_TEMPLATE("a verb sees what the one before it wrote, and leaves what it read", Threads,
                   BlockThreads, WarpThreads) {
  for (std::int64_t const n : {4, 100, 260, 512}) {
    CAPTURE(n);
    std::vector<std::uint32_t> x(std::size_t(many * (2 * n + 4)));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::uint32_t(i * 2654435761u);
    Stream const stream;
    Buffer<std::uint32_t> const there(x, stream);
    for (std::int64_t r = 0; r < many; ++r) Chain{x.data(), n}(SerialLane{}, r);
    CudaTeam{stream.get()}.run_on<Threads>(Chain{there.get(), n});
    CHECK(same(there.read(), x));
  }
}

TEST_CASE_TEMPLATE("sums and maxima are a core's at every length, signs of zeros too", Threads,
                   BlockThreads, WarpThreads) {
  for (std::int64_t const n : {0,  1,  2,   31,  32,  33,  63,  64,  65,  95,  96,
                               97, 98, 127, 128, 129, 160, 255, 256, 257, 999, 1000}) {
    CAPTURE(n);
    auto x = values<float>(n + many, 4);
    if (n % 2 == 0)
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = i * i % 3 == 0 ? 0.0f : -0.0f;
    std::vector<float> sums(many), most(many);
    CpuTeam{}.run(Reductions{sums.data(), most.data(), x.data(), n});
    Stream const stream;
    Buffer<float> const in(x, stream), sums_there(sums, stream), most_there(most, stream);
    CudaTeam{stream.get()}.run_on<Threads>(
        Reductions{sums_there.get(), most_there.get(), in.get(), n});
    CHECK(same(sums_there.read(), sums));
    CHECK(same(most_there.read(), most));
  }
}

TEST_CASE("rows as short as their kernel says are a warp's, all others a block's") {
  Stream const stream;
  CudaTeam const team{stream.get()};
  auto const threads = [&](auto kernel) {
    Buffer<int> const to(std::vector<int>(many, 0), stream);
    kernel.threads = to.get();
    team.run(kernel);
    std::vector<int> const told = to.read();
    CHECK(told == std::vector<int>(many, told[0]));
    return told[0];
  };
  CHECK(threads(Told{nullptr, 1}) == 32);
  CHECK(threads(Told{nullptr, CudaTeam::short_row}) == 32);
  CHECK(threads(Told{nullptr, CudaTeam::short_row + 1}) == 128);
  CHECK(threads(AlwaysShort{}) == 32);
  CHECK(threads(SaysNothing{}) == 128);
}
