/// Data of your own, computed as it is needed: write a word, then the same word backwards.
// ranks: 2
// timeout: 180
#include <tessera/tessera.hpp>

#include <cstdio>

using namespace tessera;

namespace {

/// dbca|acbd, of letters a to h. What stands before the bar cannot be foreseen, so those targets
/// are ignored: the loss is the mean over the others.
struct Backwards {
  static constexpr int letters = 8, bar = letters, vocabulary = letters + 1;

  /// Sample i is the same for every rank and every run: it depends on i only.
  std::int64_t samples(int) const { return 4096; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> target) const {
    std::size_t const word = in.size() / 2;
    RandomKey const key(7, "backwards");
    auto const letter = [&](std::size_t k) {
      return std::int32_t(letters * uniform(key, i * std::int64_t(word) + std::int64_t(k)));
    };
    auto const token = [&](std::size_t k) {
      return k < word ? letter(k) : k == word ? bar : letter(2 * word - k);
    };
    for (std::size_t k = 0; k < in.size(); ++k) {
      in[k] = token(k);
      target[k] = k < word ? ignored : token(k + 1);
    }
  }
};
static_assert(Data<Backwards>);

constexpr int length = 4, tokens = 2 * length, steps = 80;
using Model = Gpt2<1, 64, 4, Backwards::vocabulary, tokens>;
using T = Trainer<Model, Batch<32, tokens>, Zero<2>, ClipNorm, AdamW>;

std::string spelled(std::span<std::int32_t const> text) {
  std::string s;
  for (std::int32_t t : text) s += t == Backwards::bar ? '|' : char('a' + t);
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  T trainer(world, {.learning_rate = 1e-2, .schedule = warmup_cosine(10, steps, 0.1)});
  Backwards const data;
  for (int i = 0; i < steps; ++i) {
    Report const r = trainer.step(data);
    if (world.root() && r.step % 20 == 0)
      std::printf("step %3ld  loss %.3f\n", long(r.step), r.loss);
  }
  double const loss = trainer.evaluate(data, 512);

  std::int32_t const prompt[] = {3, 1, 2, 0, Backwards::bar};
  std::string const text = spelled(trainer.generate(prompt, length, {.temperature = 0}));
  if (world.root()) std::printf("loss %.3f; it writes %s\n", loss, text.c_str());
  return loss < 0.5 ? 0 : 1;
}
