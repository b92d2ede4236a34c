#include <tessera/run/data.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

using namespace tessera;

namespace {

/// One's own source, as a user writes it.
struct Squares {
  std::int64_t samples(int) const { return 10; }
  void sample(std::int64_t index, std::span<std::int32_t> input,
              std::span<std::int32_t> target) const {
    for (std::size_t k = 0; k < input.size(); ++k) {
      input[k] = std::int32_t(index * index);
      target[k] = ignored;
    }
  }
};

static_assert(Data<Squares>);
static_assert(!Data<int>);

}  // namespace

TEST_CASE("an epoch shows every sample once, the next in another order") {
  Order const order{.seed = 4};
  int const n = 57;
  std::vector<std::int64_t> first, second;
  for (int g = 0; g < n; ++g) {
    first.push_back(order(g, n));
    second.push_back(order(n + g, n));
  }
  CHECK(first != second);
  CHECK(std::set(first.begin(), first.end()).size() == std::size_t(n));
  CHECK(std::set(second.begin(), second.end()).size() == std::size_t(n));
  static_assert(Order{4}(3, 57) == Order{4}(3, 57));
  CHECK(Order{5}(0, 1000003) != order(0, 1000003));
}

TEST_CASE("a source of one's own, with ignored targets") {
  std::vector<std::int32_t> input(4), target(4);
  read_sample(Squares{}, 3, 10, input, target);
  CHECK(input.back() == 9);
  CHECK(target.back() == ignored);
  try {
    read_sample(Squares{}, 4, 10, input, target);
    FAIL("a token of 16 passed");
  } catch (Error const& e) {
    CHECK(e.what() ==
          std::string("tessera: sample 4, token 0: 16 is outside the model's vocabulary "
                      "of 10; use the file's tokenizer's vocabulary in the model, or "
                      "another file"));
    CHECK(!e.everywhere());  // the other ranks read other samples
  }
}
