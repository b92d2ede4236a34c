#include <tessera/kernels/sum_parts.hpp>

#include <tessera/backend/cpu/buffer_sum.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("parts are summed to the bits of buffers in shared memory, set or added") {
  for (int const ranks : {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 100})
    for (std::int64_t const n : {1, 7, 4096, 5000})
      for (int const rank : {0, ranks / 2, ranks - 1})
        for (bool const accumulate : {false, true}) {
          CAPTURE(ranks);
          CAPTURE(n);
          CAPTURE(rank);
          std::vector<float> const all = values<float>(ranks * n, 1), before = values<float>(n, 2);
          std::vector<float> expected = before, out = before, others;
          for (int k = 0; k < ranks; ++k)
            if (k != rank) others.insert(others.end(), all.data() + k * n, all.data() + k * n + n);
          sum_ranks(expected.data(), accumulate, n, ranks,
                    [&](int k) { return all.data() + k * n; });
          std::vector<float> own(all.data() + rank * n, all.data() + rank * n + n);
          kernel::SumParts<float> sum{.out = out.data(),
                                      .own = own.data(),
                                      .others = others.data(),
                                      .n = n,
                                      .rank = rank,
                                      .ranks = ranks,
                                      .accumulate = accumulate};
          CpuTeam{}.run(sum);
          CHECK(out == expected);
          if (accumulate) continue;
          sum.out = own.data();
          CpuTeam{}.run(sum);
          CHECK(own == expected);
        }
}

TEST_CASE("buffers are summed from the left, into any of them") {
  for (int const parts : {1, 2, 3, 7, 32})
    for (std::int64_t const n : {1, 4097}) {
      std::vector<float> const all = values<float>(parts * n, 1);
      std::vector<float> expected(static_cast<std::size_t>(n));
      sum_in_order(expected.data(), n, parts, [&](int k) { return all.data() + k * n; });
      for (int const into : {0, parts / 2, parts - 1}) {
        std::vector<float> own = all;
        kernel::SumInOrder<float> sum{
            .out = own.data() + into * n, .n = n, .parts = parts, .part = {}};
        for (int k = 0; k < parts; ++k) sum.part[k] = own.data() + k * n;
        CpuTeam{}.run(sum);
        CHECK(std::memcmp(own.data() + into * n, expected.data(), expected.size() * 4) == 0);
      }
    }
}
