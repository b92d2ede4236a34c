// cuda
// ranks: 2
// timeout: 240
/// The waits of a plan, taken away one by one: the proof refuses each, and a GPU's double, whose
/// streams dawdle, shows what would happen.
#include <cuda_double/api.hpp>

#include <string>
#include <vector>

#include "run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Model {
  TokenAndPositionEmbedding<17, 8, 16> embed;
  Repeat<3, Gpt2Block<16, 2, 3>> blocks;
  LmHead<17, 16> head;
};

/// What two steps of a plan tell and leave.
template <class T>
std::vector<Real> result(Plan const& plan) {
  Engine engine(world(), plan, detail::make_device<Cuda>,
                segment_graphs<Model, typename T::Settings, backend_index<Cuda>>,
                detail::optimizer_table<AdamW, Cuda>, 17, {.learning_rate = 0.1});
  std::vector<Real> all;
  using Input = TokenSequence<8>;
  for (int i = 0; i < 2; ++i) {
    Report const r = engine.step(Source::of<Input, Input>(Counting{}));
    all.push_back(Real(r.loss)), all.push_back(Real(r.gradient_norm));
  }
  for (std::string const& path : engine.parameters().paths()) {
    auto const values = engine.parameters().read({}, path);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

bool same_everywhere(std::vector<Real> const& a, std::vector<Real> const& b) {
  int same = same_bits(a, b);
  MPI_Allreduce(MPI_IN_PLACE, &same, 1, MPI_INT, MPI_MIN, world().comm());
  return same == 1;
}

struct Tally {
  int waits = 0, refused = 0, shown = 0;
};

template <class... Policies>
Tally without_waits(char const* name) {
  using T = Trainer<Model, Batch<1, 8>, AdamW, On<Cuda>, Accumulate<2>, Policies...>;
  Plan const plan = T::plan({.data = 2, .domain = 1});
  cuda_double::delay(0);
  std::vector<Real> const expected = result<T>(plan);
  cuda_double::delay(400);
  CHECK(same_everywhere(result<T>(plan), expected));
  Tally tally;
  for (std::size_t i = 0; i < plan.rows.size(); ++i)
    for (std::size_t x = 0; x < streams; ++x) {
      if (plan.rows[i].wait[x] == Wait::none) continue;
      Plan eager = plan;
      eager.rows[i].wait[x] = Wait::none;
      ++tally.waits;
      tally.refused += bool(verify(eager));
      bool shown = false;
      for (int turn = 0; turn < 10 && !shown; ++turn) {
        try {
          shown = !same_everywhere(result<T>(eager), expected);
        } catch (Error const&) {  // of all ranks: a loss that is not finite
          shown = true;
        }
      }
      tally.shown += shown;
      if (world().root())
        std::printf("%-10s %-16s for stream %-8s %s\n", name,
                    std::string(word(plan.rows[i].op)).c_str(),
                    std::string(word(Stream(x))).c_str(), shown ? "another result" : "");
    }
  cuda_double::delay(0);
  return tally;
}

}  // namespace

TEST_CASE("a wait that is missing is refused, and streams that dawdle show why") {
  Tally all;
  for (Tally const& t : {without_waits<Zero<1>>("Zero<1>"), without_waits<Zero<2>>("Zero<2>"),
                         without_waits<Zero<3>>("Zero<3>")})
    all.waits += t.waits, all.refused += t.refused, all.shown += t.shown;
  if (world().root())
    std::printf("%d waits: %d refused, %d shown by results\n", all.waits, all.refused, all.shown);
  CHECK(all.waits > 10);
  CHECK(all.refused == all.waits);
  CHECK(all.shown * 3 > all.waits * 2);
}
