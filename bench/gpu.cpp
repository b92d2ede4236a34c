// cuda
// manual
/// A training step on one GPU, in bf16 with bf16 states, as bench/gpu.sh times it.
///   gpu --list                       a line per size: its name and its tokens
///   gpu --size NAME --tokens T       one JSON line: what was measured, or why it was skipped
///     --card NAME                    the GPU's, by which the peak of its matrix units is known
///     --steps N  --warmup W          timed steps, at most, and those before them
///     --seconds S                    after which no more steps begin
/// Built with -DTESSERA_TINY it has small sizes only, which check it in seconds.
#include <tessera/tessera.hpp>

#include <tessera/backend/cuda/gpu.hpp>
#include <tessera/run/human.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "sizes.hpp"

using namespace tessera;

namespace {

/// Dense bf16 products with sums in fp32, as the vendor states them; of the variants of a card the
/// longest name that fits comes first.
struct Card {
  char const* name;
  double tflops;
};
constexpr Card cards[]{{"A100", 312}, {"H100 PCIe", 756}, {"H100 NVL", 835},
                       {"H100", 989}, {"H200", 989},      {"B200", 2250}};

double peak_of(std::string const& card) {
  for (Card const& c : cards)
    if (card.find(c.name) != std::string::npos) return c.tflops * 1e12;
  return 0;
}

template <int Layers, int Width, int Heads, int KvHeads, int Hidden, int Sequences, int Tokens,
          int Vocabulary = 32000>
using Llama = sizes::Llama<Layers, Width, Heads, KvHeads, Hidden, Vocabulary, Sequences, Tokens,
                           AttentionKind{}>;

/// f.operator()<Size>(name) for every size.
template <class F>
void each_size(F const& f) {
#if defined(TESSERA_TINY)
  f.template operator()<sizes::Gpt2<2, 64, 2, 96, 2, 32>>("gpt2-tiny");
  f.template operator()<Llama<2, 64, 4, 2, 96, 2, 32, 96>>("llama-tiny");
#else
  f.template operator()<sizes::Gpt2<12, 768, 12, 50304, 16, 1024>>("gpt2-124m");
  f.template operator()<sizes::Gpt2<12, 768, 12, 50304, 4, 4096>>("gpt2-124m");
  f.template operator()<sizes::Gpt2<48, 1600, 25, 50304, 4, 1024>>("gpt2-1.5b");
  f.template operator()<sizes::Gpt2<48, 1600, 25, 50304, 1, 4096>>("gpt2-1.5b");
  f.template operator()<Llama<32, 2048, 32, 4, 5632, 4, 1024>>("llama-1.5b");
  f.template operator()<Llama<32, 2048, 32, 4, 5632, 1, 4096>>("llama-1.5b");
  f.template operator()<Llama<32, 4096, 32, 32, 11008, 1, 1024>>("llama-7b");
  f.template operator()<Llama<32, 4096, 32, 32, 11008, 1, 4096>>("llama-7b");
#endif
}

/// Of a step; see docs/benchmarks.md: products of forward and twice as much of backward, attention
/// over the pairs that the causal mask leaves.
template <class Size>
double flops() {
  double weights = double(Size::vocabulary) * Size::width;
  for (sizes::Product const& p : Size::products)
    weights += double(Size::layers) * double(p.in * p.out);
  double const pairs = double(Size::sequences) * Size::tokens * (Size::tokens + 1) / 2;
  return 6 * (weights * Size::sequences * Size::tokens + 2 * pairs * Size::layers * Size::width);
}

/// Any tokens: no step depends on what they are.
template <int Vocabulary>
struct AnyTokens {
  std::int64_t samples(int) const { return 1 << 20; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    RandomKey const key(1, "tokens");
    auto const token = [&](std::size_t t) {
      std::int64_t const n = i * std::int64_t(in.size()) + std::int64_t(t);
      return std::int32_t(words(key, n / 4).at[n % 4] % std::uint32_t(Vocabulary));
    };
    for (std::size_t t = 0; t < in.size(); ++t) in[t] = token(t), out[t] = token(t + 1);
  }
};

struct Asked {
  std::string size{}, card{};
  int tokens = 0, steps = 10, warmup = 2;
  double seconds = 20;
};

Bytes free_bytes() {
  std::size_t free = 0, total = 0;
  cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return Bytes(free);
}

template <class Size>
void print_size(Asked const& asked) {
  std::printf(
      "{\"size\": \"%s\", \"tokens\": %d, \"sequences\": %d, \"card\": \"%s\", \"shape\": "
      "{\"kind\": \"%s\", \"layers\": %d, \"width\": %d, \"heads\": %d, \"kv_heads\": %d, "
      "\"hidden\": %d, \"vocabulary\": %d}, ",
      asked.size.c_str(), Size::tokens, Size::sequences, asked.card.c_str(), Size::kind,
      Size::layers, Size::width, Size::heads, Size::kv_heads, Size::hidden, Size::vocabulary);
}

template <class Size>
void measure(World& world, Asked const& asked) {
  using Policies = Trainer<typename Size::Model, Batch<Size::sequences, Size::tokens>, ClipNorm,
                           AdamW, Precision<bf16>, StochasticRounding, On<Cuda>, Graphs>;
  using Clock = std::chrono::steady_clock;
  Plan const plan = Policies::plan(Mesh{});
  Bytes const predicted = place(plan).private_bytes(), before = free_bytes();
  print_size<Size>(asked);
  if (predicted > before) {
    std::printf("\"skipped\": \"the plan takes %s (%lld bytes) and the GPU has %s free\"}\n",
                human_bytes(predicted).c_str(), static_cast<long long>(predicted),
                human_bytes(before).c_str());
    return;
  }
  Policies trainer(world, {.learning_rate = 3e-4, .weight_decay = 0.1, .shuffle = false});
  AnyTokens<Size::vocabulary> const data;
  Report last;
  for (int i = 0; i < asked.warmup; ++i) last = trainer.step(data);
  Bytes const measured = before - free_bytes();
  std::vector<double> seconds;
  auto const begin = Clock::now();
  while (int(seconds.size()) < asked.steps &&
         (seconds.empty() ||
          std::chrono::duration<double>(Clock::now() - begin).count() < asked.seconds)) {
    last = trainer.step(data);
    seconds.push_back(last.seconds);
  }
  std::string text;
  for (double const s : seconds) text += (text.empty() ? "" : ", ") + std::to_string(s);
  std::nth_element(seconds.begin(), seconds.begin() + std::ptrdiff_t(seconds.size() / 2),
                   seconds.end());
  double const median = seconds[seconds.size() / 2], peak_flops = peak_of(asked.card);
  std::printf("\"tokens_per_second\": %.1f, \"flops\": %.6g, ",
              Size::sequences * Size::tokens / median, flops<Size>());
  if (peak_flops > 0)
    std::printf("\"peak_flops\": %.4g, \"mfu\": %.4g, ", peak_flops,
                flops<Size>() / median / peak_flops);
  std::printf(
      "\"predicted_bytes\": %lld, \"measured_bytes\": %lld, \"pinned_bytes\": %lld, \"loss\": "
      "%.4f, \"seconds\": [%s]}\n",
      static_cast<long long>(predicted), static_cast<long long>(measured),
      static_cast<long long>(peak(plan) - predicted), last.loss, text.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  Asked asked;
  bool list = false;
  for (int i = 1; i < argc; ++i) {
    std::string const flag = argv[i];
    auto const next = [&] {
      if (++i == argc) throw Error(flag + " wants a value; the head of bench/gpu.cpp says which");
      return argv[i];
    };
    if (flag == "--list")
      list = true;
    else if (flag == "--size")
      asked.size = next();
    else if (flag == "--tokens")
      asked.tokens = std::atoi(next());
    else if (flag == "--card")
      asked.card = next();
    else if (flag == "--steps")
      asked.steps = std::atoi(next());
    else if (flag == "--warmup")
      asked.warmup = std::atoi(next());
    else if (flag == "--seconds")
      asked.seconds = std::atof(next());
    else
      throw Error("unknown flag " + flag + "; the head of bench/gpu.cpp says what there is");
  }
  if (list) {
    each_size([]<class Size>(char const* name) { std::printf("%s %d\n", name, Size::tokens); });
    return 0;
  }
  cuda::Gpu const gpu(world, 0);  // refuses in a sentence where there is none
  bool found = false;
  each_size([&]<class Size>(char const* name) {
    if (asked.size != name || asked.tokens != Size::tokens) return;
    found = true;
    measure<Size>(world, asked);
  });
  if (!found)
    throw Error("there is no size " + asked.size + " of " + std::to_string(asked.tokens) +
                " tokens; --list names what there is");
}
