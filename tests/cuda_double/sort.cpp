/// A double of CUB's sort of pairs, which is a template of nvcc's, so that nothing can be linked in
/// its place. It asks for the scratch that CUB 3.0 does, leaves garbage there, and sees no bit of a
/// key that it was not told of.
#include <cuda_double/api.hpp>
#include <cuda_double/sort.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <vector>

namespace {

std::atomic<std::size_t> more_scratch{0};

std::size_t scratch_of(std::size_t n, int bits) {
  auto const aligned = [](std::size_t bytes) { return (bytes + 255) / 256 * 256; };
  std::size_t const passes = std::size_t(bits + 7) / 8, tiles = (n + 8063) / 8064;
  std::size_t const copies = passes > 1 ? 2 * aligned(4 * n) : 0;
  return aligned(1024 * passes) + aligned(1024 * tiles) + copies + aligned(4 * passes) + 255 +
         more_scratch;
}

struct Range {
  void const* at;
  std::size_t bytes;
};
void refuse_overlap(std::vector<Range> const& ranges) {
  for (Range const& a : ranges)
    for (Range const& b : ranges) {
      std::size_t const ahead =
          std::size_t(static_cast<char const*>(b.at) - static_cast<char const*>(a.at));
      if (&a != &b && ahead < a.bytes && b.bytes > 0)
        throw cuda_double::Fault{cudaErrorLaunchFailure, "SortPairs: operands overlap"};
    }
}

}  // namespace

namespace cuda_double {

void want_scratch(std::size_t more) {
  more_scratch = more;
}

cudaError_t sort_pairs(void* scratch, std::size_t& bytes, std::uint32_t const* keys,
                       std::uint32_t* sorted_keys, std::int32_t const* values,
                       std::int32_t* sorted_values, std::int64_t n, int bits, cudaStream_t stream) {
  if (n < 0 || bits < 1 || bits > 32) return cudaErrorInvalidValue;
  std::size_t const count = std::size_t(n), needs = scratch_of(count, bits);
  if (cudaError_t const error = calling("cub::DeviceRadixSort::SortPairs"); error != cudaSuccess)
    return error;
  if (!scratch) {
    bytes = needs;
    return cudaSuccess;
  }
  if (bytes < needs) return cudaErrorInvalidValue;
  return enqueue(stream, [=] {
    char const* const who = "SortPairs";
    read(keys, 4 * count, who), read(values, 4 * count, who);
    refuse_overlap({{scratch, needs},
                    {sorted_keys, 4 * count},
                    {sorted_values, 4 * count},
                    {keys, 4 * count},
                    {values, 4 * count}});
    write(scratch, needs, who), write(sorted_keys, 4 * count, who);
    write(sorted_values, 4 * count, who);
    std::memset(real(scratch), 0xee, needs);
    auto const* const from = static_cast<std::uint32_t const*>(real(keys));
    auto const* const with = static_cast<std::int32_t const*>(real(values));
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::uint32_t const mask = bits == 32 ? ~0u : (1u << bits) - 1;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return (from[a] & mask) < (from[b] & mask);
    });
    auto* const key = static_cast<std::uint32_t*>(real(sorted_keys));
    auto* const value = static_cast<std::int32_t*>(real(sorted_values));
    for (std::size_t i = 0; i < count; ++i) key[i] = from[order[i]], value[i] = with[order[i]];
  });
}

}  // namespace cuda_double
