// ranks: 1
// timeout: 120
/// Documents in one row are to attention what they are in rows of their own.
#include <tessera/tessera.hpp>

#include "ranks.hpp"

#include <cmath>

namespace {

using namespace tessera;

constexpr int letters = 13, width = 32;

/// No positions: what a document's tokens become depends on the document alone.
template <AttentionKind Mask>
struct Model {
  Embedding<letters, width> embed;
  Repeat<2, SelfAttention<width, 4, 2, Mask>> blocks;
  LmHead<letters, width> head;
};

/// Three documents; 0 ends each.
std::vector<std::vector<std::int32_t>> const documents{
    {5, 3, 8, 1, 0}, {2, 0}, {7, 7, 4, 12, 9, 10, 1, 6, 0}};

/// All in one row, or each in a row of its own that ignored targets fill up.
struct Rows {
  bool packed;
  std::int64_t samples(int) const { return packed ? 1 : std::int64_t(documents.size()); }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    std::fill(in.begin(), in.end(), 11);
    std::fill(out.begin(), out.end(), ignored);
    std::size_t at = 0;
    for (std::size_t d = 0; d < documents.size(); ++d) {
      if (!packed && d != std::size_t(index)) continue;
      for (std::size_t i = 0; i < documents[d].size(); ++i, ++at) {
        in[at] = documents[d][i];
        if (i + 1 < documents[d].size()) out[at] = documents[d][i + 1];
      }
    }
  }
};

template <AttentionKind Mask>
double difference() {
  Options const options{.learning_rate = 1e-2, .shuffle = false};
  Trainer<Model<Mask>, AdamW, Batch<1, 16>> packed(test::world(), options);
  Trainer<Model<Mask>, AdamW, Batch<3, 16>> apart(test::world(), options);
  double most = 0;
  for (int step = 0; step < 5; ++step) {
    Report const a = packed.step(Rows{true}), b = apart.step(Rows{false});
    most = std::max({most, std::abs(a.loss - b.loss),
                     std::abs(a.gradient_norm - b.gradient_norm) / b.gradient_norm});
  }
  return most;
}

}  // namespace

TEST_CASE("documents in one row train like documents in rows of their own") {
  CHECK(difference<AttentionKind{.separator = 0}>() < 1e-5);
  CHECK(difference<AttentionKind{.window = 3, .separator = 0}>() < 1e-5);
}
TEST_CASE("without a separator they see each other") {
  CHECK(difference<AttentionKind{}>() > 1e-3);
}
