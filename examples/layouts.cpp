/// What a layout costs, before anything runs: GPT-2 124M under four Zero stages on 1, 8, 64 ranks.
#include <tessera/tessera.hpp>

#include <cstdio>

using namespace tessera;

namespace {

using Model = Gpt2<12, 768, 12>;
using T = Trainer<Model, Batch<4, 1024>, AdamW>;

// Policies are types where a program is written and values everywhere else.
constexpr Layout with_zero(int stage) {
  Layout layout = T::layout;
  layout.zero = stage;
  return layout;
}
constexpr Mesh mesh_of(int ranks) {
  return {.data = ranks, .domain = ranks < 8 ? ranks : 8};  // machines of eight
}

// Memory as a constant: what does not fit does not compile.
constexpr Bytes memory(int stage, int ranks) {
  return peak(outline(T::facts(), with_zero(stage), mesh_of(ranks)));
}
static_assert(memory(0, 1) == memory(3, 1));   // alone there is nobody to share with
static_assert(memory(1, 64) < memory(0, 64));  // optimizer states
static_assert(memory(2, 64) < memory(1, 64));  // gradients
static_assert(fits<T>(6_GiB, {.data = 1}));

struct Checked {
  bool good = true;
  void expect(bool holds, char const* what) {
    if (!holds) std::printf("it does not hold that %s\n", what);
    good = good && holds;
  }
};

}  // namespace

int main() {  // no World: a plan is a value
  Facts const facts = T::facts();
  Checked checked;
  std::printf(
      "stage  ranks  memory of a rank   payload of a step   copied where machines hold 8\n");
  for (int ranks : {1, 8, 64})
    for (int stage = 0; stage <= 3; ++stage) {
      Plan const p = make_plan(facts, with_zero(stage), mesh_of(ranks));
      std::printf("%5d  %5d  %16s  %18s  %14s\n", stage, ranks, human(peak(p)).c_str(),
                  human(payload(p)).c_str(), human(copied(p)).c_str());
      checked.expect(!verify(p), "the plan is sound");
      checked.expect(peak(p) == memory(stage, ranks), "memory follows from the outline");
      checked.expect(copied(p) <= payload(p), "sharing memory saves moves");
    }

  // The textbook: gradients are scattered and gathered, or scattered while weights are gathered.
  for (int ranks : {8, 64}) {
    auto const plan = [&](int stage) { return make_plan(facts, with_zero(stage), mesh_of(ranks)); };
    Bytes const reduce = payload(plan(0), Do::reduce);
    checked.expect(payload(plan(0), Do::gather_gradient) == reduce, "an all-reduce is two passes");
    for (int stage : {1, 2})
      checked.expect(payload(plan(stage), Do::gather) == reduce, "stages 1 and 2 gather weights");
    checked.expect(payload(plan(3), Do::gather) > payload(plan(2), Do::gather),
                   "stage 3 gathers for every pass");
  }

  std::printf("\n%s", render(make_plan(facts, with_zero(3), mesh_of(64))).c_str());
  return checked.good ? 0 : 1;
}
