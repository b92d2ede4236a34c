/// The losses that GPUs are held to, by cores:
///   reference            are they still those of tests/fixtures/gpu_losses.txt?
///   reference --write    makes that table
#include "losses.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

char const* const file = "tests/fixtures/gpu_losses.txt";

template <class T>
bool check(World& world, char const* name, std::FILE* out) {
  std::vector<Learned> const found = learn<Precision<T>>(world);
  for (std::size_t i = 0; i < found.size() && out; ++i)
    std::fprintf(out, "%s %zu %.9g %.9g\n", name, i + 1, found[i].loss, found[i].norm);
  if (out) return true;
  double const most = worst(found, expected(file, name));
  std::printf("%s: losses within %.1e of the table's\n", name, most);
  return most < (sizeof(T) == 4 ? 2e-5 : 5e-3);
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  bool const writes = argc > 1 && std::string(argv[1]) == "--write";
  std::FILE* const out = writes ? std::fopen(file, "w") : nullptr;
  if (writes && !out) throw Error(std::string(file) + " cannot be written");
  bool good = check<float>(world, "float", out);
  good = check<bf16>(world, "bf16", out) && good;
  good = check<fp16>(world, "fp16", out) && good;
  if (out) std::fclose(out);
  return good ? 0 : 1;
}
