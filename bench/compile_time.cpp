// manual
// nvcc
/// The user's file whose compile time bench/compile_time.sh measures: GPT-2 and Zero<3>.
#include <tessera/tessera.hpp>

#ifndef TESSERA_LAYERS
#define TESSERA_LAYERS 12
#endif

using namespace tessera;

int main(int argc, char** argv) {
  World world(argc, argv);
  Trainer<Gpt2<TESSERA_LAYERS, 768, 12>, Batch<4, 1024>, Zero<3>, ClipNorm, AdamW> trainer(world);
  trainer.step(Tokens::open("tokens.bin"));
}
