/// Trains a byte-level language model on a text and writes what happened: see examples/train.sh.
// manual
#include <tessera/tessera.hpp>

#include "flags.hpp"
#include "models.hpp"
#include "report.hpp"

#ifndef TESSERA_POLICIES
#define TESSERA_POLICIES Zero<3>, Precision<bf16>
#endif
#ifndef TESSERA_MODEL
#define TESSERA_MODEL tiny
#endif

using namespace tessera;

namespace {

using Choice = models::TESSERA_MODEL;
using T = Trainer<Choice::Model, Choice::Batch, ClipNorm, Choice::Optimizer, TESSERA_POLICIES>;

void train(World& world, Flags const& flags) {
  auto const [train, validation] = Tokens::open(flags.data).split(0.05);
  T trainer(world, {.learning_rate = flags.learning_rate,
                    .schedule = warmup_cosine(flags.warmup, flags.steps, 0.05),
                    .beta2 = 0.99,
                    .weight_decay = 0.1,
                    .seed = flags.seed,
                    .trace_events = flags.trace ? 20000 : 0});
  if (!flags.resume.empty()) trainer.load(flags.resume);

  Chronicle chronicle(world, trainer.engine(), flags);
  double validation_loss = Status::unknown;
  while (trainer.steps() < flags.steps) {
    Report const r = trainer.step(train);
    bool const last = r.step == flags.steps;
    bool const evaluates = last || (flags.evaluate_every > 0 && r.step % flags.evaluate_every == 0);
    if (evaluates) validation_loss = trainer.evaluate(validation, last ? 0 : flags.samples);
    chronicle.step(r, validation_loss, evaluates);
  }
  chronicle.end_progress();
  if (flags.save) trainer.save(flags.out + "/checkpoint");
  chronicle.finish();

  if (flags.sample <= 0 || vocabulary<Choice::Model, T::Settings> != 256) return;
  std::int32_t const prompt[] = {'\n'};
  std::string text;
  for (std::int32_t byte : trainer.generate(prompt, int(flags.sample), {.seed = flags.seed}))
    text += char(byte);
  if (!world.root()) return;
  write_file(flags.out + "/sample.txt", text);
  std::printf("\nit writes:\n%s\n", text.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  Flags defaults;
  defaults.learning_rate = Choice::learning_rate;
  defaults.steps = Choice::steps, defaults.warmup = Choice::warmup;
  if (auto const flags = Flags::parse(world, argc, argv, defaults)) train(world, *flags);
}
