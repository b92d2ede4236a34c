/// Trains a byte-level GPT on a text and writes what happened: see examples/train.sh.
#include <tessera/tessera.hpp>

#include <tessera/run/log.hpp>
#include <tessera/run/picture.hpp>
#include <tessera/run/progress.hpp>
#include <tessera/run/trace_file.hpp>

#include <cstdio>

#include "flags.hpp"
#include "models.hpp"

#ifndef TESSERA_POLICIES
#define TESSERA_POLICIES Zero<3>
#endif
#ifndef TESSERA_MODEL
#define TESSERA_MODEL tiny
#endif

using namespace tessera;

namespace {

using Choice = models::TESSERA_MODEL;
using T = Trainer<Choice::Model, Choice::Batch, ClipNorm, AdamW, TESSERA_POLICIES>;

std::string as_text(std::span<std::int32_t const> tokens) {
  std::string s;
  for (std::int32_t t : tokens) s += char(t);
  return s;
}

void train(World& world, Flags const& flags) {
  auto const [train, validation] = Tokens::open(flags.data).split(0.05);
  T trainer(world, {.learning_rate = flags.learning_rate,
                    .schedule = warmup_cosine(flags.warmup, flags.steps, 0.05),
                    .beta2 = 0.99,
                    .weight_decay = 0.1,
                    .seed = flags.seed,
                    .trace_events = flags.trace ? 20000 : 0});
  if (!flags.resume.empty()) trainer.load(flags.resume);
  Engine& engine = trainer.engine();
  if (world.root()) {
    write_file(flags.out + "/plan.txt", render(trainer.plan()));
    std::printf("%s\n", render_memory(trainer.plan()).c_str());
  }
  double const peak = gemm_peak(0.2) * world.size();

  std::optional<Log> log;
  std::optional<Progress> progress;
  if (world.root()) {
    log.emplace(flags.out + "/log.jsonl",
                flags.resume.empty() ? OutputFile::Mode::replace : OutputFile::Mode::extend);
    progress.emplace();
  }
  Picture picture{.title = "validation and training loss", .unit = "nats per byte"};
  double validation_loss = Status::unknown;
  double const start = Progress::seconds();
  std::int64_t const first = trainer.steps();
  while (trainer.steps() < flags.steps) {
    Report const r = trainer.step(train);
    bool const last = r.step == flags.steps;
    bool const evaluates = last || (flags.evaluate_every > 0 && r.step % flags.evaluate_every == 0);
    if (evaluates) validation_loss = trainer.evaluate(validation, last ? 0 : flags.samples);
    if (!world.root()) continue;
    double const speed = double(r.tokens) / r.seconds;
    picture.train.push_back({double(r.step), r.loss});
    if (evaluates) picture.validation.push_back({double(r.step), validation_loss});
    log->line({{"step", r.step},
               {"train_loss", r.loss},
               {"validation_loss", evaluates ? validation_loss : Status::unknown},
               {"gradient_norm", r.gradient_norm},
               {"learning_rate", r.learning_rate},
               {"tokens_per_second", speed},
               {"seconds", Progress::seconds() - start}});
    progress->show({.step = r.step,
                    .steps = flags.steps,
                    .loss = r.loss,
                    .validation_loss = validation_loss,
                    .tokens_per_second = speed,
                    .share_of_peak = engine.flops_per_step() / r.seconds / peak,
                    .memory = engine.measured_memory(),
                    .seconds_left = (Progress::seconds() - start) / double(r.step - first) *
                                    double(flags.steps - r.step)});
  }
  progress.reset();
  if (flags.save) trainer.save(flags.out + "/checkpoint");
  if (flags.trace) save_trace(engine, flags.out + "/trace.json");
  if (world.root()) {
    write_file(flags.out + "/loss.svg", picture.svg());
    std::printf("validation loss %.4f nats per byte, %.1f s\n", validation_loss,
                Progress::seconds() - start);
    std::printf("memory of a rank: predicted %s, measured %s\n",
                human_bytes(tessera::peak(trainer.plan())).c_str(),
                human_bytes(engine.measured_memory()).c_str());
  }
  if (flags.sample > 0 && vocabulary<Choice::Model, T::Settings> == 256) {
    std::int32_t const prompt[] = {'\n'};
    std::string const text = as_text(trainer.generate(prompt, flags.sample, {.seed = flags.seed}));
    if (world.root()) {
      write_file(flags.out + "/sample.txt", text);
      std::printf("\nit writes:\n%s\n", text.c_str());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  Flags defaults;
  defaults.learning_rate = Choice::learning_rate, defaults.steps = Choice::steps;
  if (auto const flags = Flags::parse(world, argc, argv, defaults)) train(world, *flags);
}
