/// A run that is cut and resumed is the same run, bit for bit, even under another layout.
///   resume FILE    FILE: where the checkpoint goes; it is removed at the end
// ranks: 2
// timeout: 180
// args: @build@/resume.checkpoint
#include <tessera/tessera.hpp>

#include <cstdio>
#include <cstring>

#include "squares.hpp"

using namespace tessera;

namespace {

using Model = Gpt2<1, 32, 2, Squares::vocabulary, 16>;
using Whole = Trainer<Model, Batch<4, 16>, Accumulate<2>, Reduce<Step>, ClipNorm, AdamW>;
using Sharded = Trainer<Model, Batch<4, 16>, Accumulate<2>, Reduce<Step>, Zero<3>, ClipNorm, AdamW>;

Options const options{.learning_rate = 1e-2, .schedule = warmup_cosine(2, 8, 0.1)};

template <class T>
double steps(T& trainer, int count) {
  double loss = 0;
  for (int i = 0; i < count; ++i) loss = trainer.step(Squares{}).loss;
  return loss;
}

/// Weights and both moments of every parameter, as bits.
template <class A, class B>
int different_tensors(A& a, B& b) {
  auto const same = [](std::vector<Real> const& x, std::vector<Real> const& y) {
    return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(Real)) == 0;
  };
  int n = 0;
  for (std::string const& path : a.paths()) {
    n += !same(a.parameter(path), b.parameter(path));
    for (std::string_view state : AdamW::state_names)
      n += !same(a.state(state, path), b.state(state, path));
  }
  return n;
}

}  // namespace

int main(int argc, char** argv) {
  World world(argc, argv);
  if (argc != 2) throw Error("resume FILE: name a place for the checkpoint", true);

  Whole through(world, options);
  double const loss = steps(through, 8);

  Whole first(world, options);
  steps(first, 4);
  first.save(argv[1]);

  Sharded second(world, options);  // weights, gradients and states in parts now
  second.load(argv[1]);
  double const resumed = steps(second, 4);  // steps 5 to 8, on the samples of steps 5 to 8

  int const different = different_tensors(through, second) + (loss != resumed);
  if (world.root()) {
    std::remove(argv[1]);
    std::printf("loss %.9f in one go, %.9f resumed; %d tensors differ\n", loss, resumed, different);
  }
  return different;
}
