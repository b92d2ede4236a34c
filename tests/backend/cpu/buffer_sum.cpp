#include <tessera/backend/cpu/buffer_sum.hpp>

#include "../../kernels/check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

using Buffers = std::vector<std::vector<float>>;

Buffers buffers(int many, std::int64_t n) {
  Buffers all;
  for (int k = 0; k < many; ++k) all.push_back(values<float>(n, std::uint64_t(k + 1)));
  return all;
}

/// By halves, an odd number of them from the left: the rule, one element at a time.
float by_halves(Buffers const& b, std::size_t i, int first, int count) {
  if (count % 2 == 0) {
    float const left = by_halves(b, i, first, count / 2);
    return left + by_halves(b, i, first + count / 2, count / 2);
  }
  float sum = b[std::size_t(first)][i];
  for (int k = first + 1; k < first + count; ++k) sum += b[std::size_t(k)][i];
  return sum;
}

}  // namespace

TEST_CASE("ranks are summed by halves to the bit, set or added, into any of them") {
  for (int const many : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 64, 100})
    for (std::int64_t const n : {1, 7, 2047, 2048, 2049, 40'000}) {
      CAPTURE(many);
      CAPTURE(n);
      Buffers const from = buffers(many, n);
      auto const part_of = [&](int r) { return from[std::size_t(r)].data(); };
      std::vector<float> expected(std::size_t(n), 0), added = values<float>(n, 99), out(expected);
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = by_halves(from, i, 0, many);

      CHECK(same_on_threads([&] {
        sum_ranks(out.data(), false, n, many, part_of);
        return out;
      }));
      CHECK(out == expected);
      out = added;
      sum_ranks(out.data(), true, n, many, part_of);
      for (std::size_t i = 0; i < added.size(); ++i) added[i] += expected[i];
      CHECK(out == added);

      Buffers own = from;
      for (int const into : {0, many / 2, many - 1}) {
        own = from;
        sum_ranks(own[std::size_t(into)].data(), false, n, many,
                  [&](int r) -> float const* { return own[std::size_t(r)].data(); });
        CHECK(own[std::size_t(into)] == expected);
      }
    }
}

TEST_CASE("parts are summed from the left to the bit, into any of them") {
  for (int const many : {1, 2, 3, 4, 5, 8, 9})
    for (std::int64_t const n : {1, 2049, 40'000}) {
      CAPTURE(many);
      CAPTURE(n);
      Buffers own = buffers(many, n);
      std::vector<float> expected = own[0];
      for (int k = 1; k < many; ++k)
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += own[std::size_t(k)][i];
      sum_in_order(own.back().data(), n, many,
                   [&](int r) -> float const* { return own[std::size_t(r)].data(); });
      CHECK(own.back() == expected);
    }
}
