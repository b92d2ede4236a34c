#include <tessera/run/batch.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <vector>

namespace {

using namespace tessera;

/// Sample i is made of the number i.
struct Numbered {
  std::int64_t many = 24;
  int asked = 5;
  std::int64_t samples(int tokens) const { return tokens == asked ? many : 0; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    std::fill(in.begin(), in.end(), std::int32_t(index));
    std::fill(out.begin(), out.end(), std::int32_t(index));
    if (index % 2 == 1) out[0] = ignored;
  }
};

constexpr int sequences = 2, tokens = 5;

struct Loaded {
  std::vector<std::int32_t> first, targets;  // of each sequence: its first token; all targets
  std::int64_t valid = 0;
  Real scale = 0;
  std::vector<std::uint64_t> noise{};  // of each sequence: its key for random numbers
};
Loaded load(Batches const& b, int micro) {
  BatchFields const f = batch_fields(token_batch(sequences, tokens));
  std::vector<std::byte> buffer(std::size_t(f.bytes), std::byte(0x55));
  Loaded l{{}, {}, b.load(micro, buffer.data()), 0};
  auto const* in = reinterpret_cast<std::int32_t const*>(buffer.data() + f.input);
  auto const* out = reinterpret_cast<std::int32_t const*>(buffer.data() + f.target);
  for (int s = 0; s < sequences; ++s) l.first.push_back(in[s * tokens]);
  l.targets.assign(out, out + sequences * tokens);
  l.scale = *reinterpret_cast<Real const*>(buffer.data() + f.loss_scale);
  l.noise.resize(sequences);
  std::memcpy(l.noise.data(), buffer.data() + f.noise, sequences * sizeof(std::uint64_t));
  return l;
}
Batches batches(Numbered const& data, int micros, int rank, int ranks) {
  return {.source = Source::of<TokenSequence<tokens>, TokenSequence<tokens>>(data),
          .batch = token_batch(sequences, tokens),
          .vocabulary = 100,
          .micros = micros,
          .rank = rank,
          .ranks = ranks,
          .shuffled = false};
}
/// All samples of one global batch, by rank, then micro-batch.
std::vector<std::int32_t> global(Batches b) {
  std::vector<std::int32_t> all;
  for (b.rank = 0; b.rank < b.ranks; ++b.rank)
    for (int micro = 0; micro < b.micros; ++micro)
      for (std::int32_t s : load(b, micro).first) all.push_back(s);
  return all;
}

TEST_CASE("a rank takes its share of the global batch, however it is cut") {
  Numbered const data;
  CHECK(load(batches(data, 2, 1, 2), 0).first == std::vector<std::int32_t>{4, 5});
  CHECK(load(batches(data, 2, 1, 2), 1).first == std::vector<std::int32_t>{6, 7});
  for (std::int64_t const first : {0, 8, 20})
    for (bool const shuffled : {false, true}) {
      std::vector<std::int32_t> wanted;
      for (int ranks : {1, 2, 4}) {
        Batches b = batches(data, 4 / ranks, 0, ranks);
        b.first = first, b.shuffled = shuffled;
        CHECK(b.global() == 8);
        if (ranks == 1) wanted = global(b);
        CHECK(global(b) == wanted);
      }
    }
}
TEST_CASE("an epoch has every sample once, shuffled or not; then the source begins again") {
  Numbered const data;
  Batches b = batches(data, 4, 0, 1);
  for (b.shuffled = false;; b.shuffled = true) {
    std::vector<std::int32_t> epochs[2];
    for (b.first = 0; b.first < 2 * data.many; b.first += b.global())
      for (std::int32_t s : global(b)) epochs[b.first / data.many].push_back(s);
    for (auto const& e : epochs) CHECK(std::set(e.begin(), e.end()).size() == 24);
    CHECK((epochs[0] == epochs[1]) == !b.shuffled);
    if (b.shuffled) break;
  }
}
TEST_CASE("a sample of the run has a key of its own for random numbers, whoever loads it") {
  Numbered const data{.many = 4};
  auto const keys = [&](int ranks, std::uint64_t seed) {
    std::vector<std::uint64_t> all;
    Batches b = batches(data, 4 / ranks, 0, ranks);
    b.seed = seed;
    for (b.first = 0; b.first < 24; b.first += b.global())
      for (b.rank = 0; b.rank < ranks; ++b.rank)
        for (int micro = 0; micro < b.micros; ++micro)
          for (std::uint64_t k : load(b, micro).noise) all.push_back(k);
    return all;
  };
  auto const one = keys(1, 5);
  CHECK(std::set(one.begin(), one.end()).size() == 24);  // also where the samples come again
  CHECK(keys(2, 5) == one);
  CHECK(keys(4, 5) == one);
  CHECK(keys(1, 6) != one);
}
TEST_CASE("targets that count are counted, and the scale is of the whole global batch") {
  Numbered const data;
  Loaded const l = load(batches(data, 2, 1, 2), 0);
  CHECK(l.valid == 9);
  CHECK(l.targets == std::vector<std::int32_t>{4, 4, 4, 4, 4, -1, 5, 5, 5, 5});
  CHECK(l.scale == Real(1.0 / (2 * 2 * 2 * 5)));
}
TEST_CASE("past the end of a source that does not repeat, targets are ignored") {
  Numbered const data{.many = 3};
  Batches b = batches(data, 2, 0, 1);
  b.repeats = false;
  CHECK(load(b, 0).valid == 9);
  Loaded const l = load(b, 1);
  CHECK(l.valid == 5);
  CHECK(l.first == std::vector<std::int32_t>{2, 0});
  CHECK(l.targets == std::vector<std::int32_t>{2, 2, 2, 2, 2, -1, -1, -1, -1, -1});
}
TEST_CASE("a token that the model does not know is refused") {
  Numbered const data;
  Batches b = batches(data, 2, 1, 2);
  b.vocabulary = 5;
  CHECK_THROWS_AS(load(b, 0), Error);
}

}  // namespace
