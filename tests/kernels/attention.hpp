/// Attention as the textbook has it, for tests: all scores of a row, their softmax, the weighted
/// values. What a query sees is asked of the definition, pair by pair.
#pragma once

#include <tessera/backend/cpu/team.hpp>
#include <tessera/kernels/attention.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera::test {

struct Attending {
  AttentionShape shape;
  std::vector<std::int32_t> tokens;  // 0 ends a document; empty: there is one per sequence
  std::vector<std::int32_t> table;

  /// packed: with documents of 1, 2, 3, ... tokens, and some at the end that has no separator.
  Attending(AttentionShape s, bool packed) : shape(s) {
    if (!packed) return;
    tokens.assign(std::size_t(s.batch * s.tokens), 1);
    for (std::int64_t b = 0; b < s.batch; ++b)
      for (std::int64_t t = b, step = 1; t < s.tokens - 2; t += ++step)
        tokens[std::size_t(b * s.tokens + t)] = 0;
    table.resize(2 * tokens.size());
    CpuTeam{}.run(kernel::Documents{table.data(), tokens.data(), s.batch, s.tokens, 0});
  }

  std::int64_t inputs() const { return shape.batch * shape.tokens * shape.packed(); }
  std::int64_t outputs() const { return shape.batch * shape.tokens * shape.all(); }
  std::int64_t log_sums() const { return shape.batch * shape.heads * shape.tokens; }
  std::int32_t const* documents() const { return table.empty() ? nullptr : table.data(); }
  std::string text() const {
    return std::to_string(shape.batch) + " x " + std::to_string(shape.tokens) + ", " +
           std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + " x " +
           std::to_string(shape.width) + (shape.causal ? ", causal" : "") + ", window " +
           std::to_string(shape.window) + (tokens.empty() ? "" : ", documents");
  }

  bool sees(std::int64_t sequence, std::int64_t query, std::int64_t key) const {
    if (shape.causal && key > query) return false;
    if (shape.window > 0 && std::abs(query - key) >= shape.window) return false;
    if (tokens.empty()) return true;
    for (std::int64_t t = std::min(query, key); t < std::max(query, key); ++t)
      if (tokens[std::size_t(sequence * shape.tokens + t)] == 0) return false;
    return true;
  }

  template <class T>
  std::vector<double> plain(std::vector<T> const& qkv) const {
    AttentionShape const& s = shape;
    auto y = std::vector<double>(std::size_t(outputs()));
    for (std::int64_t b = 0; b < s.batch; ++b)
      for (std::int64_t h = 0; h < s.heads; ++h)
        for (std::int64_t t = 0; t < s.tokens; ++t) {
          auto const at = [&](std::int64_t head, std::int64_t token, std::int64_t c) {
            return double(
                qkv[std::size_t((b * s.tokens + token) * s.packed() + head * s.width + c)]);
          };
          std::int64_t const key = s.heads + h / (s.heads / s.kv_heads), value = key + s.kv_heads;
          std::vector<double> p(std::size_t(s.tokens));
          double total = 0;
          for (std::int64_t k = 0; k < s.tokens; ++k) {
            if (!sees(b, t, k)) continue;
            double score = 0;
            for (std::int64_t c = 0; c < s.width; ++c) score += at(h, t, c) * at(key, k, c);
            total += p[std::size_t(k)] = std::exp(score / std::sqrt(double(s.width)));
          }
          for (std::int64_t k = 0; k < s.tokens; ++k)
            for (std::int64_t c = 0; c < s.width; ++c)
              y[std::size_t((b * s.tokens + t) * s.all() + h * s.width + c)] +=
                  p[std::size_t(k)] / total * at(value, k, c);
        }
    return y;
  }

  /// The gradient in qkv of sum(dy y), y as it was stored: how it was rounded is no error here.
  template <class T>
  std::vector<double> gradient(std::vector<T> const& qkv, std::vector<T> const& dy,
                               std::vector<T> const& y) const {
    AttentionShape const& s = shape;
    auto dqkv = std::vector<double>(std::size_t(inputs()));
    double const scale = 1 / std::sqrt(double(s.width));
    for (std::int64_t b = 0; b < s.batch; ++b)
      for (std::int64_t h = 0; h < s.heads; ++h)
        for (std::int64_t t = 0; t < s.tokens; ++t) {
          auto const place = [&](std::int64_t head, std::int64_t token) {
            return std::size_t((b * s.tokens + token) * s.packed() + head * s.width);
          };
          std::int64_t const key = s.heads + h / (s.heads / s.kv_heads), value = key + s.kv_heads;
          std::size_t const q = place(h, t), width = std::size_t(s.width),
                            up = std::size_t((b * s.tokens + t) * s.all() + h * s.width);
          // p: weights of keys; dp: their gradients, dy v
          std::vector<double> p(std::size_t(s.tokens)), dp(p.size());
          double total = 0, own = 0;
          for (std::size_t c = 0; c < width; ++c) own += double(dy[up + c]) * double(y[up + c]);
          for (std::int64_t i = 0; i < s.tokens; ++i) {
            if (!sees(b, t, i)) continue;
            std::size_t const k = place(key, i), v = place(value, i), at = std::size_t(i);
            double score = 0;
            for (std::size_t c = 0; c < width; ++c) {
              score += double(qkv[q + c]) * double(qkv[k + c]);
              dp[at] += double(dy[up + c]) * double(qkv[v + c]);
            }
            total += p[at] = std::exp(scale * score);
          }
          for (std::int64_t i = 0; i < s.tokens; ++i) {
            std::size_t const k = place(key, i), v = place(value, i), at = std::size_t(i);
            double const weight = p[at] / total, slope = weight * (dp[at] - own) * scale;
            for (std::size_t c = 0; c < width && weight > 0; ++c) {
              dqkv[q + c] += slope * double(qkv[k + c]);
              dqkv[k + c] += slope * double(qkv[q + c]);
              dqkv[v + c] += weight * double(dy[up + c]);
            }
          }
        }
    return dqkv;
  }
};

}  // namespace tessera::test
