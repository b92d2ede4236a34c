#include <tessera/tessera.hpp>

#include <tessera/kernels/layer_norm.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  tessera::World world(argc, argv);
  std::printf("rank %d of %d\n", world.rank(), world.size());
}
