#include <tessera/plan/matrices.hpp>

#include "toy.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace tessera;

namespace {

/// The work of every rank.
std::vector<double> loads(Facts const& f, int ranks) {
  std::vector<double> load(std::size_t(ranks), 0);
  for (int m = 0; m < int(f.matrices.size()); ++m)
    load[std::size_t(orthogonalizer(f, m, ranks))] += orthogonal_flops(f.matrices[std::size_t(m)]);
  return load;
}

}  // namespace

TEST_CASE("five products with squares and five squares are counted") {
  static_assert(orthogonal_flops({0, 0, 2, 3}) == 5 * (2 * 2 * 2 * 3 * 2 + 2 * 2 * 2 * 2));
  static_assert(orthogonal_flops({0, 0, 3, 2}) == orthogonal_flops({0, 0, 2, 3}));
}

TEST_CASE("every matrix has one rank, and no rank has a matrix more than it must") {
  Facts f = toy::facts_of_matrices();
  CHECK(loads(f, 1)[0] == orthogonal_flops(f.matrices[0]) + orthogonal_flops(f.matrices[1]) +
                              orthogonal_flops(f.matrices[2]));
  f.matrices.clear();
  for (int k = 0; k < 7; ++k) f.matrices.push_back({toy::matrices, 0, 16 + 8 * (k % 3), 64});
  for (int ranks : {2, 3, 4, 8}) {
    std::vector<double> const load = loads(f, ranks);
    double heaviest = 0;
    for (MatrixInfo const& m : f.matrices) heaviest = std::max(heaviest, orthogonal_flops(m));
    auto const [least, most] = std::minmax_element(load.begin(), load.end());
    CHECK(*most - *least <= heaviest);
  }
}

TEST_CASE("ranks that see one buffer share the work; others do all of it") {
  CHECK(orthogonalizers(toy::plan(1, {4, 4})) == 4);
  CHECK(orthogonalizers(toy::plan(3, {4, 2})) == 2);
  CHECK(orthogonalizers(toy::plan(3, {4, 1})) == 1);
  CHECK(orthogonalizers(toy::plan(0, {4, 4})) == 1);
}
