// manual
/// A training step as bench/compare.py times it: see docs/benchmarks.md for its contract.
#include <tessera/run/profile.hpp>
#include <tessera/run/trace_file.hpp>
#include <tessera/tessera.hpp>

#include <cstdio>
#include <cstdlib>

#include "sizes.hpp"

#ifndef TESSERA_SIZE
#define TESSERA_SIZE gpt2
#endif
#ifndef TESSERA_POLICIES
#define TESSERA_POLICIES Zero<0>
#endif

using namespace tessera;

namespace {

using Size = sizes::TESSERA_SIZE;

struct Asked {
  std::string data{}, trace{};  // trace: a file for the events of all timed steps
  int steps = 3, warmup = 1, memory_steps = 1;
  int profile = 0;  // steps that are watched op by op, after the timed ones; the last is printed
};

template <int Ranks>
void measure(World& world, Asked const& asked) {
  Trainer<Size::Model, Batch<Size::sequences / Ranks, Size::tokens>, ClipNorm, AdamW,
          TESSERA_POLICIES>
      trainer(world, {.learning_rate = 3e-4,
                      .weight_decay = 0.1,
                      .shuffle = false,
                      .trace_events = asked.trace.empty() ? 0 : 1 << 18});
  Tokens const data = Tokens::open(asked.data);
  Report last;
  for (int i = 0; i < asked.warmup; ++i) last = trainer.step(data);
  trainer.engine().trace().clear();
  std::string seconds;
  for (int i = 0; i < asked.steps; ++i) {
    last = trainer.step(data);
    seconds += (i ? ", " : "") + std::to_string(last.seconds);
  }
  if (world.root()) {
    std::printf("{\"ranks\": %d, \"seconds\": [%s], \"loss\": %.6f, \"predicted_bytes\": %lld}\n",
                Ranks, seconds.c_str(), last.loss, static_cast<long long>(peak(trainer.plan())));
    std::fflush(stdout);
  }
  if (!asked.trace.empty()) save_trace(trainer.engine(), asked.trace);
  for (int i = 0; i < asked.memory_steps; ++i) trainer.step(data);
  for (int i = 0; i < asked.profile; ++i) {
    Profile const profile = tessera::measure(trainer, data);
    if (i + 1 < asked.profile) continue;
    std::string const table = profile.text(MachineLimits::measure(trainer.layout.low));
    if (world.root()) std::printf("%s", table.c_str());
  }
}

template <int Ranks>
requires(Size::sequences % Ranks != 0) void measure(World&, Asked const&) {
  throw Error("this size has no sequences for every rank; run it on 1", true);
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  Asked asked;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string const flag = argv[i];
    if (flag == "--data")
      asked.data = argv[i + 1];
    else if (flag == "--steps")
      asked.steps = std::atoi(argv[i + 1]);
    else if (flag == "--warmup")
      asked.warmup = std::atoi(argv[i + 1]);
    else if (flag == "--trace")
      asked.trace = argv[i + 1];
    else if (flag == "--profile")
      asked.profile = std::atoi(argv[i + 1]);
    else if (flag == "--memory-steps")
      asked.memory_steps = std::atoi(argv[i + 1]);
    else
      throw Error("unknown flag " + flag + "; docs/benchmarks.md says what there is", true);
  }
  switch (world.size()) {
    case 1: measure<1>(world, asked); break;
    case 2: measure<2>(world, asked); break;
    default: throw Error("this benchmark runs on 1 or 2 ranks", true);
  }
}
