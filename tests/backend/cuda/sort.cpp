// cuda
/// Indices sorted on the double of CUB, and what is built on it: the gradient of a table by token.
#include <tessera/op/embedding.hpp>

#include <cuda_double/api.hpp>
#include <cuda_double/sort.hpp>

#include "../../kernels/check.hpp"
#include "device.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

using namespace tessera;
using namespace tessera::test;

namespace {

using Indices = std::vector<std::int32_t>;
using Sort = CudaSort<std::int32_t>;

Indices repeated(std::int64_t n, std::int64_t end) {
  Indices v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(std::int32_t(i * i * 7919 % end));
  return v;
}

/// A workspace on the device, as a plan gives it to an op.
Buffer<std::byte> room(Bytes bytes, Stream const& stream) {
  return {std::vector<std::byte>(std::size_t(bytes)), stream};
}

/// The gradient of a table [end, cols] that was `before`, on cores or on the device.
template <class B>
std::vector<float> gradient(Indices const& tokens, std::int64_t end, std::vector<float> const& dy,
                            std::vector<float> const& before, bool accumulate) {
  std::int64_t const rows = std::int64_t(tokens.size()), cols = std::int64_t(dy.size()) / rows;
  Shape const of_table = shape_of(end, cols), of_dy = shape_of(1, rows, cols),
              of_tokens = shape_of(1, rows);
  if constexpr (std::is_same_v<B, Cpu>) {
    std::vector<float> table = before;
    Launch<Cpu::team> team{};
    team.accumulate[0] = accumulate;
    kernels<EmbedWeight, B>::run(team, {table.data(), of_table}, {dy.data(), of_dy},
                                 {tokens.data(), of_tokens});
    return table;
  } else {
    Signature const s{.out = of_table, .in = {of_dy, of_tokens}};
    Stream const stream;
    Buffer<float> const table(before, stream), slope(dy, stream);
    Buffer<std::int32_t> const ids(tokens, stream);
    auto const workspace = room(kernels<EmbedWeight, B>::workspace(s), stream);
    auto state = kernels<EmbedWeight, B>::prepare(s);
    Call call{.workspace = workspace.get(), .queue = stream.get(), .state = &state};
    call.accumulate[0] = accumulate;
    kernels<EmbedWeight, B>::run(call, {table.get(), of_table}, {slope.get(), of_dy},
                                 {ids.get(), of_tokens});
    stream.wait();
    return table.read();
  }
}

bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

}  // namespace

TEST_CASE("indices come in order, and equal ones as they stood") {
  for (std::int64_t const n : {1, 2, 127, 129, 8064, 8065, 20000})
    for (std::int64_t const end : {1, 2, 3, 256, 257, 50257, 2147483647}) {
      CAPTURE(n);
      CAPTURE(end);
      Indices const v = repeated(n, end);
      Indices places(v.size()), sorted;
      std::iota(places.begin(), places.end(), 0);
      std::stable_sort(places.begin(), places.end(), [&](auto a, auto b) { return v[a] < v[b]; });
      for (std::int32_t const p : places) sorted.push_back(v[p]);

      Stream const stream;
      Buffer<std::int32_t> const indices(v, stream);
      auto const workspace = room(Sort::workspace(n), stream);
      Sort::Sorted const found = Sort(n, end).run(indices.get(), workspace.get(), stream.get());
      Buffer<std::int32_t> const had(Indices(v.size()), stream), was(Indices(v.size()), stream);
      for (auto const& [to, from] :
           {std::pair{had.get(), found.indices}, {was.get(), found.places}})
        cuda::check(cudaMemcpyAsync(to, from, 4 * v.size(), cudaMemcpyDeviceToDevice, stream.get()),
                    "cudaMemcpyAsync");
      stream.wait();
      CHECK(had.read() == sorted);
      CHECK(was.read() == places);
      CHECK(indices.read() == v);
    }
}

TEST_CASE("the gradient of a table has the bits of cores") {
  std::int64_t const end = 301;
  Indices different(299);
  std::iota(different.rbegin(), different.rend(), 1);
  std::pair<char const*, Indices> const kinds[]{{"repeated", repeated(1000, 17)},
                                                {"some", repeated(301, end)},
                                                {"one only", Indices(77, 300)},
                                                {"all different", different},
                                                {"one", {0}}};
  for (auto const& kind : kinds)
    for (std::int64_t const cols : {1, 127, 128, 129, 300})
      for (bool const accumulate : {false, true}) {
        Indices const& tokens = kind.second;
        CAPTURE(kind.first);
        CAPTURE(cols);
        CAPTURE(accumulate);
        auto dy = values<float>(std::int64_t(tokens.size()) * cols, 3);
        dy[0] = -0.f;
        auto const before = values<float>(end * cols, 4);
        CHECK(same_bits(gradient<Cpu>(tokens, end, dy, before, accumulate),
                        gradient<Cuda>(tokens, end, dy, before, accumulate)));
      }
}

TEST_CASE("more scratch than a plan has is refused when a trainer is made") {
  cuda_double::want_scratch(1 << 20);
  CHECK_THROWS_WITH_AS(
      Sort(1000, 10),
      doctest::Contains("SortPairs wants 1051135 bytes to sort 1000 indices on this GPU"), Error);
  cuda_double::want_scratch(0);
  CHECK_NOTHROW(Sort(1000, 10));
}

TEST_CASE("a sort that fails says so") {
  Stream const stream;
  Buffer<std::int32_t> const indices(Indices{2, 1}, stream);
  auto const workspace = room(Sort::workspace(2), stream);
  Sort const sort(2, 3);
  cuda_double::fail_next("cub::DeviceRadixSort::SortPairs", cudaErrorLaunchFailure);
  CHECK_THROWS_WITH_AS(sort.run(indices.get(), workspace.get(), stream.get()),
                       doctest::Contains("cub::DeviceRadixSort::SortPairs: unspecified launch"),
                       DeviceError);
}
