/// The iteration of Muon's authors, in double and by plain loops.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace tessera::test {

/// x [rows, cols], normalised, then five times a x + (b (x x^T) + c (x x^T)^2) x, as in
/// zeropower_via_newtonschulz5 of Keller Jordan's code: a tall x is transposed before and after.
inline std::vector<double> newton_schulz(std::vector<double> x, std::int64_t rows,
                                         std::int64_t cols) {
  using Matrix = std::vector<double>;
  auto const transposed = [](Matrix const& m, std::int64_t r, std::int64_t c) {
    Matrix t(m.size());
    for (std::int64_t i = 0; i < r; ++i)
      for (std::int64_t j = 0; j < c; ++j) t[std::size_t(j * r + i)] = m[std::size_t(i * c + j)];
    return t;
  };
  auto const product = [](Matrix const& p, Matrix const& q, std::int64_t m, std::int64_t k,
                          std::int64_t n) {
    Matrix out(std::size_t(m * n), 0.0);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t l = 0; l < k; ++l)
        for (std::int64_t j = 0; j < n; ++j)
          out[std::size_t(i * n + j)] += p[std::size_t(i * k + l)] * q[std::size_t(l * n + j)];
    return out;
  };
  bool const tall = rows > cols;
  if (tall) x = transposed(x, rows, cols);
  std::int64_t const m = tall ? cols : rows, n = tall ? rows : cols;
  double norm = 0;
  for (double const v : x) norm += v * v;
  for (double& v : x) v /= std::sqrt(norm) + 1e-7;
  for (int k = 0; k < 5; ++k) {
    Matrix const gram = product(x, transposed(x, m, n), m, n, m);
    Matrix both = product(gram, gram, m, m, m);
    for (std::size_t i = 0; i < both.size(); ++i) both[i] = -4.7750 * gram[i] + 2.0315 * both[i];
    Matrix const more = product(both, x, m, m, n);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] + more[i];
  }
  return tall ? transposed(x, m, n) : x;
}

}  // namespace tessera::test
