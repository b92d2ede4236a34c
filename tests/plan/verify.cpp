#include <tessera/plan/verify.hpp>

#include <tessera/plan/words.hpp>
#include "toy.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <vector>

using namespace tessera;

static_assert(!verify(toy::plan(0, {4, 4}, Step, 4, 12)));
static_assert(!verify(toy::plan(3, {4, 4}, Micro, 4, 12)));
static_assert(!verify(toy::plan(3, {4, 2}, Micro, 4, 12)));
static_assert(!verify(toy::plan(3, {4, 1}, Step, 4, 12)));
static_assert(!verify(toy::plan(3, {4, 2}, Step, 4, 12, Across::sums)));
static_assert(!verify(toy::plan(1, {4, 4}, Step, 4, 12, Across::matrices)));

namespace {

/// With optimizers that need no more than an element; then with those that work across tensors.
template <class F>
void each_plan(F f) {
  for (int zero = 0; zero < 4; ++zero)
    for (Mesh mesh : {Mesh{1, 1}, Mesh{4, 4}, Mesh{4, 2}, Mesh{4, 1}})
      for (int micros : {1, 2, 8}) f(toy::strict_plan(zero, mesh, micros));
  for (int zero = 0; zero < 4; ++zero)
    for (int micros : {1, 3}) f(toy::gpu_plan(zero, {4, 1}, true, micros));
  for (Across across : {Across::sums, Across::matrices})
    for (int zero = 0; zero < 4; ++zero)
      for (Reduction mode : {Step, Micro})
        for (int domain : {4, 2, 1})
          for (int micros : {1, 3}) f(toy::plan(zero, {4, domain}, mode, micros, 3, across));
  for (int zero = 0; zero < 4; ++zero)
    for (Reduction mode : {Step, Micro})
      for (int domain : {4, 2, 1})
        for (int layers : {1, 2, 3, 5})
          for (int micros : {1, 2, 3, 6}) f(toy::plan(zero, {4, domain}, mode, micros, layers));
}

struct Tally {
  int refused = 0, passed = 0;
  void count(Plan& mutant) {
    mutant.index();
    ++(verify(mutant) ? refused : passed);
  }
};

}  // namespace

TEST_CASE("plans are sound, alone and in any order of training and evaluation") {
  each_plan([](Plan const& train) {
    CHECK(!verify(train));
    Plan const evaluate = evaluate_plan(train, train.micros + 1);
    CHECK(!verify(evaluate));
    CHECK(!verify_order({&train, &evaluate, &train, &evaluate, &evaluate, &train, &train}));
  });
}

TEST_CASE(
    "without any one of its rows or waits a plan is refused; with a row twice or moved, too") {
  std::array<Tally, kinds_of_rows> dropped{}, doubled{};
  Tally unwaited, moved;
  each_plan([&](Plan const& train) {
    for (Plan const& p : {train, evaluate_plan(train, train.micros)})
      for (std::size_t i = 0; i < p.rows.size(); ++i) {
        Row const& r = p.rows[i];
        Plan less = p;
        less.rows.erase(less.rows.begin() + std::ptrdiff_t(i));
        dropped[std::size_t(r.op)].count(less);
        Plan more = p;
        more.rows.insert(more.rows.begin() + std::ptrdiff_t(i), r);
        if (r.op != Do::barrier) doubled[std::size_t(r.op)].count(more);
        for (int x = 0; x < streams; ++x) {
          if (Stream(x) == r.stream || r.op == Do::load || r.op == Do::release) continue;
          Plan elsewhere = p;
          elsewhere.rows[i].stream = Stream(x);
          moved.count(elsewhere);
        }
        for (std::size_t x = 0; x < streams; ++x) {
          if (r.wait[x] == Wait::none) continue;
          Plan eager = p;
          eager.rows[i].wait[x] = Wait::none;
          unwaited.count(eager);
        }
      }
  });
  std::printf("refused of    dropped        doubled\n");
  for (int op = 0; op < kinds_of_rows; ++op) {
    Tally const& d = dropped[std::size_t(op)];
    Tally const& t = doubled[std::size_t(op)];
    std::printf("%-15s %5d of %5d %5d of %5d\n", std::string(word(Do(op))).c_str(), d.refused,
                d.refused + d.passed, t.refused, t.refused + t.passed);
    CHECK(d.refused > 0);
    CHECK(d.passed == 0);
    CHECK(t.passed == 0);
  }
  std::printf("waits           %5d of %5d\n", unwaited.refused, unwaited.refused + unwaited.passed);
  std::printf("streams         %5d of %5d\n", moved.refused, moved.refused + moved.passed);
  CHECK(moved.refused > 0);
  CHECK(moved.passed == 0);
  CHECK(unwaited.refused > 0);
  CHECK(unwaited.passed == 0);
}

TEST_CASE("a fault names what is wrong and where") {
  Plan p = toy::plan(3, {4, 4}, Micro);
  int gather = -1;
  for (std::size_t i = 0; i < p.rows.size(); ++i)
    if (p.rows[i].op == Do::gather && p.rows[i].pass == Pass::backward && p.rows[i].segment == 1)
      gather = int(i);
  p.rows.erase(p.rows.begin() + gather);
  p.index();
  Fault const f = verify(p);
  CHECK(f.what == Wrong::weights_not_gathered);
  CHECK(f.segment == 1);
  CHECK(f.layer == 2);
  CHECK(word(f.what) == "reads weights that were not gathered");
}

TEST_CASE("facts that contradict themselves are refused") {
  Facts f = toy::facts();
  f.flats[toy::blocks].layers = 2;
  CHECK(verify(make_plan(f, toy::layout(1), {1, 1})).what == Wrong::facts_disagree);
}
