// manual
/// A program that trains two steps on a file, for bad_input.sh:
///   bad_input DATA LOG [BATCH]   BATCH: sequences per step, 4 or 6
#include <tessera/run/log.hpp>
#include <tessera/tessera.hpp>

#include <string>

namespace {

using namespace tessera;

template <int Sequences>
void train(World& world, std::string const& data, std::string const& log) {
  Tokens const tokens = Tokens::open(data);
  Trainer<Gpt2<1, 16, 2, 100, 8>, AdamW, Batch<2, 8>, GlobalBatch<Sequences>> trainer(world, {});
  std::optional<Log> lines;
  if (world.root()) lines.emplace(log);
  for (int i = 0; i < 2; ++i) {
    Report const r = trainer.step(tokens);
    if (lines) lines->line({{"step", r.step}, {"train_loss", r.loss}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  tessera::World world(argc, argv);
  bool const odd = argc > 3 && std::string(argv[3]) == "6";
  (odd ? train<6> : train<4>)(world, argv[1], argv[2]);
}
