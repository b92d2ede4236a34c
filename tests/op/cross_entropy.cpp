/// The loss in chunks of tokens and blocks of the vocabulary, beside the textbook's in double.
#include <tessera/op/cross_entropy.hpp>

#include "../kernels/check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class Low>
std::vector<Low> stored(std::int64_t n, std::uint64_t seed, float scale) {
  std::vector<Low> v;
  for (float const x : values<float>(n, seed)) v.push_back(Low(scale * x));
  return v;
}

/// ||found - expected|| / ||expected||
template <class T>
double relative(std::vector<T> const& found, std::vector<double> const& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    double const d = double(float(found[i])) - expected[i];
    difference += d * d;
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

/// Logits, their softmax, and the three results, all in double.
struct Textbook {
  double loss = 0;
  std::vector<double> dx, dweight;

  template <class Low>
  Textbook(std::vector<Low> const& x, std::vector<Low> const& weight,
           std::vector<std::int32_t> const& targets, std::size_t width, double scale)
      : dx(x.size()), dweight(weight.size()) {
    std::size_t const words = weight.size() / width;
    std::vector<double> p(words);
    for (std::size_t r = 0; r < targets.size(); ++r) {
      if (targets[r] < 0) continue;
      double total = 0;
      for (std::size_t w = 0; w < words; ++w) {
        double logit = 0;
        for (std::size_t c = 0; c < width; ++c)
          logit += double(float(x[r * width + c])) * double(float(weight[w * width + c]));
        total += p[w] = std::exp(logit);
      }
      std::size_t const target = std::size_t(targets[r]);
      loss -= scale * std::log(p[target] / total);
      for (std::size_t w = 0; w < words; ++w) {
        double const slope = scale * (p[w] / total - (w == target));
        for (std::size_t c = 0; c < width; ++c) {
          dx[r * width + c] += slope * double(float(weight[w * width + c]));
          dweight[w * width + c] += slope * double(float(x[r * width + c]));
        }
      }
    }
  }
};

}  // namespace

TEST_CASE("blocks are whole vectors, about equal, and cover the vocabulary") {
  for (std::int64_t const vocabulary : {1, 64, 256, 3200, 3201, 50257, 50304, 151'936}) {
    CHECK(loss_block<Cpu>(vocabulary, DType::real) == vocabulary);
    std::int64_t const block = loss_block<Cpu>(vocabulary, DType::bf16);
    CHECK(block <= std::min<std::int64_t>(vocabulary, 3200 + 63));
    if (block < vocabulary) CHECK(block % 64 == 0);
    if (vocabulary > 3200) CHECK(block > 1500);
  }
}

TEST_CASE_TEMPLATE("loss and gradients meet the textbook's", T, float, bf16, fp16) {
  DType const low = dtype_of<T>;
  std::int64_t const width = 40;
  // One block; two and a short one; and tokens that leave a short chunk.
  for (auto const& [tokens, vocabulary] :
       {std::pair<std::int64_t, std::int64_t>{9, 100}, {70, 7001}, {100, 2 * 66'000 + 3}}) {
    std::int64_t const rows = tokens, words = vocabulary;  // as clang captures no bindings
    CAPTURE(rows);
    CAPTURE(words);
    if (words > 3200) CHECK(words % loss_block<Cpu>(words, DType::bf16) != 0);
    if (words > 66'000) CHECK(rows % loss_chunk(rows, words) != 0);
    auto const x = stored<T>(rows * width, 1, 0.3f), weight = stored<T>(words * width, 2, 0.3f);
    std::vector<std::int32_t> targets;
    for (std::int64_t r = 0; r < rows; ++r)
      targets.push_back(r % 7 == 3 ? -1 : std::int32_t(r * 977 % words));
    float const scale = 1.f / 64, one = 1;
    Textbook const expected(x, weight, targets, std::size_t(width), double(scale));

    Shape const of_x = shape_of(rows, width), of_weight = shape_of(words, width);
    detail::ChunkedLoss<Cpu> const loss(of_x, of_weight, low, true);
    std::vector<std::byte> workspace(
        std::size_t(detail::ChunkedLoss<Cpu>::workspace(of_x, of_weight, low)));
    std::vector<T> dx(x.size(), T(7.f));
    std::vector<float> dweight(weight.size(), 7);
    Call call{.workspace = workspace.data()};
    float found = 7;
    for (bool const accumulate : {false, true}) {
      CAPTURE(accumulate);
      call.accumulate[1] = accumulate;
      loss.run<T>(call, &found, x.data(), weight.data(), targets.data(), &scale, &one, dx.data(),
                  dweight.data());
      std::vector<double> sum = expected.dweight;
      if (accumulate)
        for (double& d : sum) d *= 2;
      // The slopes of logits are rounded to 16 bits, by 2^-9 of each at most, and dx once more.
      bool const rounds = low != DType::real;
      CHECK(std::abs(double(found) - expected.loss) < 2e-6 * expected.loss);
      CHECK(relative(dweight, sum) < (rounds ? 0x1p-9 : 2e-6));
      CHECK(relative(dx, expected.dx) < (rounds ? 0x1p-8 : 2e-6));
    }
    detail::ChunkedLoss<Cpu> const forward(of_x, of_weight, low, false);
    forward.run<T>(call, &found, x.data(), weight.data(), targets.data(), &scale);
    CHECK(found == doctest::Approx(expected.loss).epsilon(2e-6));
    // What arrives from behind the loss scales its gradients and not itself.
    float const two = 2, before = found;
    std::vector<T> const dx_of_one = dx;
    call.accumulate[1] = false;
    loss.run<T>(call, &found, x.data(), weight.data(), targets.data(), &scale, &two, dx.data(),
                dweight.data());
    CHECK(found == doctest::Approx(before).epsilon(1e-6));
    for (std::size_t i = 0; i < dx.size(); i += 17)
      CHECK(float(dx[i]) == doctest::Approx(2 * double(float(dx_of_one[i]))).epsilon(0.001));
  }
}
