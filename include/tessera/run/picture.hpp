/// The curves of a run as an SVG: training loss, validation loss, and the learning rate below.
#pragma once

#include <tessera/core/setting.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

struct Point {
  double step = 0, value = 0;
};

struct Picture {
  std::string title{}, subtitle{};
  std::string unit = "loss (nats per token)";
  std::vector<Point> train{}, validation{},
      learning_rate{};  // by increasing step; any may be empty

  std::string svg() const;
};

namespace detail {

/// Round numbers, about `wanted` of them, that lie in [low, high].
inline std::vector<double> ticks(double low, double high, int wanted) {
  double const raw = (high - low) / wanted, power = std::pow(10, std::floor(std::log10(raw)));
  double const lead = raw / power;
  double const step = power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
  std::vector<double> out;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k)
    out.push_back(k == 0 ? 0 : k * step);  // not -0
  return out;
}

/// The mean over a window, narrower at the start, where a run falls fast; spikes count as `most`.
inline std::vector<Point> smooth(std::vector<Point> const& points, double most) {
  std::size_t const n = points.size(), widest = n / 40;
  std::vector<double> sum(n + 1);
  for (std::size_t i = 0; i < n; ++i) sum[i + 1] = sum[i] + std::min(points[i].value, most);
  std::vector<Point> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t const r = std::min(widest, i / 2), end = std::min(i + r + 1, n);
    out[i] = {points[i].step, (sum[end] - sum[i - r]) / double(end - (i - r))};
  }
  return out;
}

/// At most about 2 * columns points, the lowest and the highest of each column: what is drawn looks
/// the same and a run of a million steps is still a small file.
inline std::vector<Point> thinned(std::vector<Point> const& points, std::size_t columns) {
  if (points.size() <= 2 * columns) return points;
  std::vector<Point> out;
  for (std::size_t c = 0; c < columns; ++c) {
    auto const at = [&](std::size_t k) {
      return points.begin() + long(k * points.size() / columns);
    };
    auto const by_value = [](Point a, Point b) { return a.value < b.value; };
    auto [low, high] = std::minmax_element(at(c), at(c + 1), by_value);
    if (high < low) std::swap(low, high);
    out.push_back(*low);
    if (high != low) out.push_back(*high);
  }
  return out;
}

inline std::vector<Point> finite(std::vector<Point> const& points) {
  std::vector<Point> out;
  std::copy_if(points.begin(), points.end(), std::back_inserter(out),
               [](Point p) { return std::isfinite(p.value) && std::isfinite(p.step); });
  return out;
}

/// SVG text under construction, with the scales of the panel that is drawn into.
struct Svg {
  static constexpr double width = 960, left = 76, right = 924;
  static constexpr char const *ink = "#1f2933", *faint = "#7b8794", *grid = "#e8ebee",
                              *train = "#2563eb", *validation = "#e2622e", *rate = "#0d9488";
  std::string out;
  double x0 = 0, x1 = 1, y0 = 0, y1 = 1;  // values at the panel's edges
  double top = 0, bottom = 0;             // the panel on the page

  double x(double step) const { return left + (right - left) * (step - x0) / (x1 - x0); }
  double y(double value) const {
    return std::clamp(bottom - (bottom - top) * (value - y0) / (y1 - y0), top - 4, bottom);
  }

  template <class... A>
  void add(char const* format, A... a) {
    char text[512];
    std::snprintf(text, sizeof text, format, a...);
    out += text;
  }
  void words(double at_x, double at_y, char const* anchor, double size, char const* colour,
             std::string_view text, char const* more = "") {
    add("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%.0f\" fill=\"%s\"%s>", at_x,
        at_y, anchor, size, colour, more);
    for (char const c : text) c == '<' ? out += "&lt;" : c == '&' ? out += "&amp;" : out += c;
    out += "</text>\n";
  }
  void line(std::vector<Point> const& points, char const* style) {
    if (points.empty()) return;
    out += "<polyline fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\" ";
    out += style;
    out += " points=\"";
    for (Point const p : points) add("%.1f,%.1f ", x(p.step), y(p.value));
    out += "\"/>\n";
  }
  void rows(std::vector<double> const& values, char const* format) {
    for (double const v : values) {
      add("<path d=\"M%.0f %.1fH%.0f\" stroke=\"%s\"/>\n", left, y(v), right, grid);
      char text[32];
      std::snprintf(text, sizeof text, format, v);
      words(left - 10, y(v) + 4, "end", 12, faint, text);
    }
  }
  void columns(std::vector<double> const& values, bool named) {
    for (double const v : values) {
      add("<path d=\"M%.1f %.1fV%.1f\" stroke=\"%s\"/>\n", x(v), top, bottom, grid);
      if (!named) continue;
      char text[32];
      std::snprintf(text, sizeof text,
                    v < 1e4   ? "%.4g"
                    : v < 1e6 ? "%.4gk"
                              : "%.4gM",
                    v < 1e4   ? v
                    : v < 1e6 ? v / 1e3
                              : v / 1e6);
      words(x(v), bottom + 20, "middle", 12, faint, text);
    }
  }
};

/// From the lowest value to the highest, or to the start of the run if a few spikes go beyond it.
inline std::pair<double, double> value_range(std::vector<Point> const& train,
                                             std::vector<Point> const& validation) {
  std::vector<double> all;
  for (Point const p : train) all.push_back(p.value);
  for (Point const p : validation) all.push_back(p.value);
  if (all.empty()) return {0, 1};
  double const first = train.empty() ? all.front() : train.front().value;
  std::sort(all.begin(), all.end());
  double const low = all.front();
  double high = std::min(all.back(), std::max(first, all[(all.size() - 1) * 98 / 100]));
  if (!(high > low)) high = low + std::max(1e-3, std::abs(low) * 0.01);
  double const margin = 0.04 * (high - low);
  return {low - margin, high + margin};
}

}  // namespace detail

inline std::string Picture::svg() const {
  using detail::Svg;
  auto const losses = detail::finite(train), checks = detail::finite(validation),
             rates = detail::finite(learning_rate);
  auto const [low, high] = detail::value_range(losses, checks);
  auto const mean = detail::smooth(losses, high);
  double const height = rates.empty() ? 520 : 620;
  Svg s;
  s.add(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" font-family=\"Inter, "
      "'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
      Svg::width, height);
  s.words(Svg::left, 38, "start", 20, Svg::ink, title, " font-weight=\"600\"");
  s.words(Svg::left, 60, "start", 13, Svg::faint, subtitle);

  double last = 1;
  for (auto const* const curve : {&losses, &checks, &rates})
    if (!curve->empty()) last = std::max(last, curve->back().step);
  s.x0 = 0, s.x1 = last, s.top = 84, s.bottom = 464;
  s.y0 = low, s.y1 = high;
  auto steps = detail::ticks(0, last, 8);
  std::erase_if(steps, [](double v) { return v != std::floor(v); });
  s.columns(steps, rates.empty());
  auto const rows = detail::ticks(s.y0, s.y1, 7);
  double const apart = rows.size() > 1 ? rows[1] - rows[0] : 1;
  s.rows(rows, apart < 0.0095 ? "%.3f" : apart < 0.095 ? "%.2f" : apart < 0.95 ? "%.1f" : "%.0f");
  s.add("<path d=\"M%.0f %.1fH%.0f\" stroke=\"#9aa5b1\"/>\n", Svg::left, s.bottom, Svg::right);
  char turn[64];
  std::snprintf(turn, sizeof turn, " transform=\"rotate(-90 24 %.0f)\"", (s.top + s.bottom) / 2);
  s.words(24, (s.top + s.bottom) / 2, "middle", 13, Svg::faint, unit, turn);

  s.line(detail::thinned(losses, 800), "stroke=\"#2563eb\" stroke-width=\"1\" opacity=\"0.25\"");
  s.line(detail::thinned(mean, 800), "stroke=\"#2563eb\" stroke-width=\"2.2\"");
  bool const few = checks.size() <= 40;
  s.line(checks, few ? "stroke=\"#e2622e\" stroke-width=\"1.6\" stroke-dasharray=\"1 5\""
                     : "stroke=\"#e2622e\" stroke-width=\"1.8\"");
  for (Point const p : few ? checks : std::vector{checks.back()})
    s.add(
        "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.2\" fill=\"%s\" stroke=\"#fff\" "
        "stroke-width=\"1.5\"/>\n",
        s.x(p.step), s.y(p.value), Svg::validation);

  // The legend, from the right, with the last values.
  double at = Svg::right;
  auto const entry = [&](char const* name, std::vector<Point> const& curve, char const* colour,
                         bool dot) {
    if (curve.empty()) return;
    char text[64];
    std::snprintf(text, sizeof text, "%s %.3f", name, curve.back().value);
    s.words(at, 60, "end", 13, Svg::ink, text);
    at -= 7.4 * double(std::string_view(text).size()) + 8;
    if (dot)
      s.add("<circle cx=\"%.1f\" cy=\"56\" r=\"4.2\" fill=\"%s\"/>\n", at - 4, colour);
    else
      s.add("<path d=\"M%.1f 56h18\" stroke=\"%s\" stroke-width=\"2.2\"/>\n", at - 18, colour);
    at -= 40;
  };
  entry("validation", checks, Svg::validation, true);
  entry("train", mean, Svg::train, false);

  if (!rates.empty()) {
    s.top = 492, s.bottom = 564, s.y0 = 0, s.y1 = 0;
    for (Point const p : rates) s.y1 = std::max(s.y1, p.value);
    double const most = s.y1;
    s.y1 = most > 0 ? 1.12 * most : 1;
    s.columns(steps, true);
    s.rows({0, most}, "%.3g");
    auto area = detail::thinned(rates, 800);
    s.line(area, "stroke=\"#0d9488\" stroke-width=\"1.8\"");
    area.insert(area.begin(), {area.front().step, 0});
    area.push_back({area.back().step, 0});
    s.line(area, "stroke=\"none\" style=\"fill:#0d9488;fill-opacity:0.08\"");
    s.words(Svg::right - 8, s.top + 18, "end", 13, Svg::rate, "learning rate");
  }
  s.words((Svg::left + Svg::right) / 2, height - 14, "middle", 13, Svg::faint, "step");
  return s.out + "</svg>\n";
}

}  // namespace tessera::inline TESSERA_SETTING
