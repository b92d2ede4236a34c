// expect: only a model of Batch<Sequences, Tokens> writes text
// expect: GeneratesText<
#include <tessera/tessera.hpp>

using namespace tessera;

struct Sum {
  Linear<16, 1> all;
  constexpr Value operator()(Value x) const { return all(x) + targets(x); }
};
struct Model {
  Sum sum;
};
using T = Trainer<Model, Samples<4, Floats<16>, Floats<1>>, AdamW>;
auto write(T& trainer) {
  return trainer.generate({}, 8);
}
int main() {}
