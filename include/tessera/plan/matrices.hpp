/// Whole matrices that an optimizer orthogonalises: which rank of a domain takes which.
#pragma once

#include <tessera/plan/walk.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Work of one matrix, in products: five times x x^T, its square, and a product with x.
constexpr double orthogonal_flops(MatrixInfo const& m) {
  double const side = double(m.rows < m.cols ? m.rows : m.cols),
               n = double(m.rows) * double(m.cols);
  return 5 * (4 * n * side + 2 * side * side * side);
}

/// One more matrix and two squares of its shorter side.
constexpr Bytes orthogonal_workspace(MatrixInfo const& m, Bytes real) {
  Bytes const side = m.rows < m.cols ? m.rows : m.cols;
  return aligned(m.rows * m.cols * real) + 2 * aligned(side * side * real);
}

/// The k-th rank of a domain, of `ranks` that share the work on a flat's layer: the heaviest matrix
/// that is left goes to whoever has least. `matrix`: an index in Facts::matrices.
constexpr int orthogonalizer(Facts const& facts, int matrix, int ranks) {
  int const flat = facts.matrices[std::size_t(matrix)].flat;
  std::vector<double> load(std::size_t(ranks), 0);
  std::vector<char> taken(facts.matrices.size(), 0);
  for (;;) {
    int heaviest = -1;
    for (int m = 0; m < int(facts.matrices.size()); ++m)
      if (MatrixInfo const& x = facts.matrices[std::size_t(m)];
          x.flat == flat && !taken[std::size_t(m)] &&
          (heaviest < 0 ||
           orthogonal_flops(x) > orthogonal_flops(facts.matrices[std::size_t(heaviest)])))
        heaviest = m;
    int least = 0;
    for (int r = 1; r < ranks; ++r)
      if (load[std::size_t(r)] < load[std::size_t(least)]) least = r;
    if (heaviest < 0 || heaviest == matrix) return least;
    taken[std::size_t(heaviest)] = 1;
    load[std::size_t(least)] += orthogonal_flops(facts.matrices[std::size_t(heaviest)]);
  }
}

/// Ranks that share the work on a layer's matrices: those that see one buffer of updates.
constexpr int orthogonalizers(Plan const& p) {
  return p.steps_own_part() && p.shares_memory() ? p.mesh.domain : 1;
}

}  // namespace tessera::inline TESSERA_SETTING
