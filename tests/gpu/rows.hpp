/// Kernels that work row by row beside plain loops in double: norms, rotations, tables, losses.
#pragma once

#include <tessera/kernels/cross_entropy.hpp>
#include <tessera/kernels/embedding.hpp>
#include <tessera/kernels/layer_norm.hpp>
#include <tessera/kernels/rms_norm.hpp>
#include <tessera/kernels/rope.hpp>

#include "judge.hpp"

namespace tessera::test {

/// Large beside the variance of the values, 4/3, so that it is seen to be there.
inline constexpr double norm_epsilon = 1e-3;

/// Both norms of x [rows, cols] and their gradients: Centred takes the mean away and adds a shift.
template <bool Centred>
struct NormReference {
  std::vector<double> y, statistics, dx, dgain, dshift;

  template <class S>
  NormReference(std::int64_t rows, std::int64_t cols, std::vector<float> const& x,
                std::vector<S> const& gain, std::vector<S> const& shift, std::vector<S> const& dy)
      : dgain(gain.size(), 0.0), dshift(gain.size(), 0.0) {
    std::size_t const width = std::size_t(cols);
    double const share = 1 / double(cols);
    for (std::size_t first = 0; first < std::size_t(rows) * width; first += width) {
      double mean = 0, variance = 0, shared = 0, along = 0;
      for (std::size_t c = 0; c < width && Centred; ++c) mean += share * double(x[first + c]);
      for (std::size_t c = 0; c < width; ++c)
        variance += share * std::pow(double(x[first + c]) - mean, 2);
      double const inverse = 1 / std::sqrt(variance + norm_epsilon);
      if (Centred) statistics.push_back(mean);
      statistics.push_back(inverse);
      auto const normal = [&](std::size_t c) { return (double(x[first + c]) - mean) * inverse; };
      auto const slope = [&](std::size_t c) { return double(dy[first + c]) * double(gain[c]); };
      for (std::size_t c = 0; c < width; ++c) {
        y.push_back(normal(c) * double(gain[c]) + (Centred ? double(shift[c]) : 0));
        if (Centred) shared += share * slope(c);
        along += share * slope(c) * normal(c);
        dgain[c] += double(dy[first + c]) * normal(c), dshift[c] += double(dy[first + c]);
      }
      for (std::size_t c = 0; c < width; ++c)
        dx.push_back(inverse * (slope(c) - shared - normal(c) * along));
    }
  }
};

/// x in float, as the stream between layers is; the rest in S.
template <class S>
void check_layer_norm(Judge& j, Size const& size) {
  std::int64_t const rows = size.rows, cols = size.cols, n = rows * cols;
  std::string const name = ", " + (type_name<S> + (" of" + size.text()));
  Shape const s = shape_of(rows, cols), c = shape_of(cols), pairs = shape_of(rows, 2);
  auto const x = values<float>(n, 1), more = values<float>(n, 5);
  auto const dy = values<S>(n, 2), gain = values<S>(cols, 3), shift = values<S>(cols, 4);
  NormReference<true> const r(rows, cols, x, gain, shift, dy);
  Buffer<float> const in(j.put(x)), add(j.put(more));
  Buffer<S> const g(j.put(gain)), b(j.put(shift)), up(j.put(dy));
  auto const y = j.blank<S>(n);
  auto const statistics = j.blank<float>(2 * rows), dx = j.blank<float>(n),
             dgain = j.blank<float>(cols), dshift = j.some<float>(cols, 6);
  j.run(kernel::LayerNorm<float, S>{{y.get(), s},
                                    {statistics.get(), pairs},
                                    {in.get(), s},
                                    {g.get(), c},
                                    {b.get(), c},
                                    float(norm_epsilon)});
  j.check("layer norm" + name, y, r.y, roundings<S>(32));
  j.check("layer norm's statistics" + name, statistics, r.statistics, roundings<float>(16));
  kernel::LayerNormInput<float, S> input{
      {dx.get(), s}, {up.get(), s}, {in.get(), s}, {g.get(), c}, {statistics.get(), pairs}};
  j.run(input);
  j.check("layer norm's gradient" + name, dx, r.dx, roundings<float>(64));
  input.add = {add.get(), s};
  j.run(input);
  std::vector<double> sum = r.dx, shifts = r.dshift;
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += double(more[i]);
  j.check("layer norm's added gradient" + name, dx, sum, roundings<float>(64));
  auto const before = dshift.read();
  for (std::size_t i = 0; i < shifts.size(); ++i) shifts[i] += double(before[i]);
  j.run(kernel::LayerNormParameters<float, S>{{dgain.get(), c},
                                              {dshift.get(), c},
                                              {up.get(), s},
                                              {in.get(), s},
                                              {statistics.get(), pairs},
                                              false,
                                              true});
  j.check("layer norm's gain" + name, dgain, r.dgain, roundings<float>(of_sum(rows)));
  j.check("layer norm's shift" + name, dshift, shifts, roundings<float>(of_sum(rows)));
}

template <class S>
void check_rms_norm(Judge& j, Size const& size) {
  std::int64_t const rows = size.rows, cols = size.cols, n = rows * cols;
  std::string const name = ", " + (type_name<S> + (" of" + size.text()));
  Shape const s = shape_of(rows, cols), c = shape_of(cols), one = shape_of(rows);
  auto const x = values<float>(n, 1);
  auto const dy = values<S>(n, 2), gain = values<S>(cols, 3);
  NormReference<false> const r(rows, cols, x, gain, gain, dy);
  Buffer<float> const in(j.put(x));
  Buffer<S> const g(j.put(gain)), up(j.put(dy));
  auto const y = j.blank<S>(n);
  auto const inverse = j.blank<float>(rows), dx = j.blank<float>(n), dgain = j.blank<float>(cols);
  j.run(kernel::RmsNorm<float, S>{
      {y.get(), s}, {inverse.get(), one}, {in.get(), s}, {g.get(), c}, float(norm_epsilon)});
  j.check("rms norm" + name, y, r.y, roundings<S>(16));
  j.check("rms norm's statistics" + name, inverse, r.statistics, roundings<float>(16));
  j.run(kernel::RmsNormInput<float, S>{
      {dx.get(), s}, {up.get(), s}, {in.get(), s}, {g.get(), c}, {inverse.get(), one}});
  j.check("rms norm's gradient" + name, dx, r.dx, roundings<float>(64));
  j.run(kernel::RmsNormGain<float, S>{
      {dgain.get(), c}, {up.get(), s}, {in.get(), s}, {inverse.get(), one}, false});
  j.check("rms norm's gain" + name, dgain, r.dgain, roundings<float>(of_sum(rows)));
}

template <class T, RopeLayout Layout>
void check_rope(Judge& j, std::int64_t tokens, std::int64_t heads, std::int64_t width,
                std::int64_t rest) {
  std::int64_t const cols = heads * width + rest;
  Shape const s = shape_of(2, tokens, cols);
  auto const x = values<T>(s.count(), 1);
  Buffer<T> const in(j.put(x));
  auto const y = j.blank<T>(s.count());
  constexpr bool split = Layout == RopeLayout::half_split;
  std::string const name = std::string(split ? "halves" : "neighbours") + ", " + type_name<T> +
                           " of [2, " + std::to_string(tokens) + ", " + std::to_string(heads) +
                           " x " + std::to_string(width) + "]";
  for (bool const back : {false, true}) {
    j.run(kernel::Rope<T, Layout>{
        {y.get(), s}, {in.get(), s}, heads, width, kernel::RopeSpeeds::of(1e4, width), back});
    std::vector<double> expected = wide(x);
    for (std::int64_t r = 0; r < s.rows(); ++r)
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t p = 0; p < width / 2; ++p) {
          std::size_t const a = std::size_t(r * cols + h * width + (split ? p : 2 * p));
          std::size_t const b = a + std::size_t(split ? width / 2 : 1);
          double const angle = double(r % tokens) * std::pow(1e4, -2.0 * double(p) / double(width));
          double const cosine = std::cos(angle), sine = std::sin(angle) * (back ? -1 : 1);
          expected[a] = double(x[a]) * cosine - double(x[b]) * sine;
          expected[b] = double(x[a]) * sine + double(x[b]) * cosine;
        }
    j.check((back ? "rotation back, " : "rotation, ") + name, y, expected, roundings<T>(12));
  }
}

/// Tables in T, looked up into a stream in T and one in float.
template <class T>
void check_tables(Judge& j, Size const& size) {
  std::int64_t const tokens = size.rows, cols = size.cols, vocabulary = 2 * tokens / 3 + 1;
  std::string const name = ", " + (type_name<T> + (" of" + size.text()));
  Shape const s = shape_of(2, tokens, cols), ids_of = shape_of(2, tokens),
              table_of = shape_of(vocabulary, cols), places_of = shape_of(tokens + 3, cols);
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < 2 * tokens; ++i) ids.push_back(std::int32_t(i * i % vocabulary));
  auto const table = values<T>(table_of.count(), 1), places = values<T>(places_of.count(), 2),
             dy = values<T>(s.count(), 3);
  std::size_t const width = std::size_t(cols), all = std::size_t(s.count());
  std::vector<double> found(all), moved(all), dtable(table.size()), dplaces(places.size());
  for (std::size_t i = 0; i < all; ++i) {
    std::size_t const row = i / width, c = i % width, at = std::size_t(ids[row]) * width + c;
    std::size_t const place = row % std::size_t(tokens) * width + c;
    found[i] = double(table[at]), moved[i] = double(dy[i]) + double(places[place]);
    dtable[at] += double(dy[i]), dplaces[place] += double(dy[i]);
  }
  Buffer<std::int32_t> const in(j.put(ids));
  Buffer<T> const from(j.put(table)), positions(j.put(places)), up(j.put(dy));
  View<std::int32_t const> const tokens_in{in.get(), ids_of};
  {
    auto const y = j.blank<T>(s.count());
    j.run(kernel::EmbeddingForward<T>{{y.get(), s}, tokens_in, {from.get(), table_of}});
    j.check("embedding" + name, y, found, 0, 0);
    j.run(kernel::PositionForward<T>{{y.get(), s}, {up.get(), s}, {positions.get(), places_of}});
    j.check("positions" + name, y, moved, roundings<T>(1), 0);
  }
  {
    auto const y = j.blank<float>(s.count());
    j.run(kernel::EmbeddingForward<float, T>{{y.get(), s}, tokens_in, {from.get(), table_of}});
    j.check("embedding in fp32" + name, y, found, 0, 0);
  }
  for (bool const accumulate : {false, true}) {
    std::string const what = accumulate ? "'s added gradient" : "'s gradient";
    auto const once = [&](Buffer<float> const& to, std::vector<double> const& gradient) {
      std::vector<double> sum = accumulate ? wide(to.read()) : std::vector<double>(gradient.size());
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
      return sum;
    };
    auto const make = [&](std::int64_t n) {
      return accumulate ? j.some<float>(n, 7) : j.blank<float>(n);
    };
    auto const to = make(table_of.count()), to_places = make(places_of.count());
    auto const sums = once(to, dtable), of_places = once(to_places, dplaces);
    j.run(kernel::EmbeddingBackward<T>{{to.get(), table_of}, {up.get(), s}, tokens_in, accumulate});
    j.check("embedding" + what + name, to, sums, roundings<float>(12));
    j.run(kernel::PositionBackward<T>{{to_places.get(), places_of}, {up.get(), s}, accumulate});
    j.check("positions" + what + name, to_places, of_places, roundings<float>(3));
  }
}

/// Logits in float, their gradient in S: in their place if that is float, too.
template <class S>
void check_losses(Judge& j, Size const& size) {
  std::int64_t const rows = size.rows, words = size.cols;
  std::string const name = ", " + (type_name<S> + (" of" + size.text()));
  Shape const s = shape_of(rows, words), one = shape_of(rows);
  float const scale = 0.125f, factor = 4096;  // the factor keeps small slopes normal in fp16
  auto const logits = values<float>(s.count(), 1);
  std::vector<std::int32_t> targets;
  for (std::int64_t r = 0; r < rows; ++r)
    targets.push_back(r % 5 == 1 ? -1 : std::int32_t(r * 977 % words));
  std::vector<double> losses, slopes;
  double total = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    float const* const row = logits.data() + r * words;
    double sum = 0;
    for (std::int64_t c = 0; c < words; ++c) sum += std::exp(double(row[c]));
    std::int64_t const target = targets[std::size_t(r)];
    losses.push_back(target < 0 ? 0 : std::log(sum) - double(row[target]));
    total += losses.back();
    for (std::int64_t c = 0; c < words; ++c)
      slopes.push_back(target < 0 ? 0
                                  : double(scale) * double(factor) *
                                        (std::exp(double(row[c])) / sum - (c == target)));
  }
  Buffer<float> const in(j.put(logits)), by(j.put(std::vector<float>{scale, factor}));
  Buffer<std::int32_t> const to(j.put(targets));
  auto const loss = j.blank<float>(rows), sum = j.blank<float>(1);
  auto const slope = j.blank<S>(s.count());
  View<S> gradient{slope.get(), s};
  if constexpr (std::is_same_v<S, float>) gradient = {in.get(), s};
  kernel::CrossEntropy<float, S> entropy{{in.get(), s}, {loss.get(), one}, {to.get(), one},
                                         by.get(),      by.get() + 1,      {}};
  j.run(entropy);
  j.check("loss alone" + name, loss, losses, roundings<float>(16));
  entropy.gradient = gradient;
  j.run(entropy);
  j.check("loss" + name, loss, losses, roundings<float>(16));
  // Every slope is measured by itself: most are far below the targets'.
  auto const found = std::is_same_v<S, float> ? wide(in.read()) : wide(slope.read());
  j.check("loss's gradient" + name, found, slopes, roundings<S>(32), 0);
  j.run(kernel::TotalLoss<float>{sum.get(), {loss.get(), one}, by.get()});
  j.check("total loss" + name, sum, {total * double(scale)}, roundings<float>(16));
}

}  // namespace tessera::test
