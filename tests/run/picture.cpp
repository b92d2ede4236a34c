#include <tessera/run/picture.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <sstream>

using namespace tessera;

namespace {

Picture falling(int steps) {
  Picture p{.title = "a < b & c", .subtitle = "two ranks"};
  for (int i = 0; i < steps; ++i) {
    p.train.push_back({double(i), 2 + 3.0 / (1 + i) + (i % 2 ? 0.1 : -0.1)});
    p.learning_rate.push_back({double(i), 1e-3});
  }
  return p;
}
int count(std::string const& text, std::string const& what) {
  int n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}
/// The points of the k-th polyline.
std::vector<Point> curve(std::string const& svg, int k) {
  auto at = svg.find(" points=\"");
  for (; k > 0; --k) at = svg.find(" points=\"", at + 1);
  std::istringstream in(svg.substr(at + 9, svg.find("\"/>", at) - at - 9));
  std::vector<Point> out;
  char comma = 0;
  for (Point p; in >> p.step >> comma >> p.value;) out.push_back(p);
  return out;
}

}  // namespace

TEST_CASE("every curve is inside its panel and the text is safe XML") {
  Picture p = falling(400);
  p.validation = {{100, 2.2}, {400, 2.1}};
  std::string const svg = p.svg();
  CHECK(svg.starts_with("<svg xmlns="));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(svg.find("a &lt; b &amp; c") != std::string::npos);
  CHECK(count(svg, "<text") == count(svg, "</text>"));
  CHECK(count(svg, "<polyline") == 5);  // raw, mean, validation, rate, its area
  for (int k = 0; k < 3; ++k)
    for (Point const at : curve(svg, k)) {
      CHECK((at.step >= 76 && at.step <= 924));
      CHECK((at.value >= 80 && at.value <= 464));
    }
  CHECK(svg.find("validation 2.100") != std::string::npos);
  CHECK(svg.find(">400<") != std::string::npos);
  CHECK(svg.find(">-0") == std::string::npos);
}

TEST_CASE("the mean starts where the run starts and does not lag at the end") {
  std::string const svg = falling(400).svg();
  auto const raw = curve(svg, 0), mean = curve(svg, 1);
  CHECK(mean.front().value == raw.front().value);
  double spread = 0, offset = 0;
  for (std::size_t i = mean.size() / 2; i < mean.size(); ++i) {
    spread = std::max(spread, std::abs(mean[i].value - mean.back().value));
    offset = std::max(offset, std::abs(raw[i].value - mean.back().value));
  }
  CHECK(spread < offset / 2);
}

TEST_CASE("a spike, or a loss that is not a number, does not flatten the rest") {
  Picture p = falling(1000);
  p.train[500].value = 1e9;
  p.train[600].value = std::numeric_limits<double>::quiet_NaN();
  p.train[700].value = -std::numeric_limits<double>::infinity();
  std::string const svg = p.svg();
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  auto const raw = curve(svg, 0);
  CHECK(raw.back().value - raw.front().value > 250);  // most of the panel's height
  auto const mean = curve(svg, 1);  // the spike lifts its neighbours by a few pixels only
  CHECK(std::abs(mean[510].value - mean[400].value) < 20);
}

TEST_CASE("a million steps are a small file; nothing at all is still a picture") {
  CHECK(falling(1000000).svg().size() < 100000);
  CHECK(Picture{}.svg().ends_with("</svg>\n"));
  Picture one;
  one.train = {{0, 2}};
  CHECK(one.svg().find("train 2.000") != std::string::npos);
}
