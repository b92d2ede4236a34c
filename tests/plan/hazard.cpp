// The proof of order reasons about one rank and abstract reaches. Here every rank of a domain runs,
// with the bytes it touches as Placement gives them, and all pairs between two barriers are
// compared.
#include <tessera/plan/hazard.hpp>

#include <tessera/plan/memory.hpp>
#include <tessera/plan/verify.hpp>
#include "toy.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace tessera;

namespace {

struct Touch {
  int rank;
  Bytes begin, end;
  bool writes;
};

/// What rank k of domain 0 touches in the window.
class Ranks {
 public:
  explicit Ranks(Plan const& p) : p_(p), m_(p) {}

  bool race(int steps) {
    for (int step = 0; step < steps && !found_; ++step) {
      each_instruction(p_, [&](Instruction const& in) {
        if (in.op == Do::barrier) {
          compare();
          now_.clear();
        }
        for (int k = 0; k < p_.mesh.domain; ++k) touch(in, k);
      });
      follow();
    }
    return found_;
  }

 private:
  Bytes part(int flat) const { return p_.part_elements(flat) * p_.layout.real; }

  void add(int k, Family f, int owner, Bytes at, Bytes n, bool writes) {
    if (m_.of(f).arena == Arena::own) return;
    Bytes const begin = m_.start(f, owner) + at;
    now_.push_back({k, begin, begin + n, writes});
  }

  void touch(Instruction const& in, int k) {
    int const data = p_.mesh.data, domain = p_.mesh.domain;
    bool const slots = p_.reduces_slots();
    if (in.op == Do::forward || in.op == Do::backward) {
      for (FlatUse const& u : p_.facts.segments[std::size_t(in.segment)].flats) {
        if (u.flat < 0) continue;
        Bytes const n = data * part(u.flat);
        if (in.op == Do::forward ? u.forward : u.backward) {
          if (p_.gathers_into_slots())
            add(k, Family::gathered, 0, m_.gathered(in.segment, u.flat, in.slot), n, false);
          else
            add(k, Family::weights, 0, m_.flat(Family::weights, u.flat, in.layer), n, false);
        }
        if (in.op == Do::backward && u.gradient) {
          if (slots)
            add(k, Family::gradient_slots, k,
                m_.gradient_slot(in.segment, u.flat, in.gradient_slot), n, true);
          else
            add(k, Family::gradients, k, m_.flat(Family::gradients, u.flat, in.layer), n, true);
        }
      }
      return;
    }
    if (in.flat < 0) return;
    Bytes const n = part(in.flat);
    bool const in_slot = p_.reuses_memory() && p_.facts.flats[std::size_t(in.flat)].tied;
    Family const reduced = in_slot ? Family::gradient_slots
                           : slots ? Family::gradient_shares
                                   : Family::gradients;
    auto const reduced_part = [&](int owner) {
      if (in_slot) return m_.gradient_slot(0, in.flat, 0) + owner * n;
      return m_.flat(reduced, in.flat, in.layer) + (slots ? 0 : owner * n);
    };
    if (in.op == Do::gather && p_.mesh.domains() > 1)
      for (int r = k; r < data; r += domain) {
        if (p_.gathers_into_slots())
          add(k, Family::gathered, 0, m_.gathered(in.segment, in.flat, in.slot) + r * n, n, true);
        else if (r != k)
          add(k, Family::weights, 0, m_.flat(Family::weights, in.flat, in.layer) + r * n, n, true);
      }
    if (in.op == Do::reduce) {
      for (int peer = 0; peer < domain; ++peer)
        if (slots)
          add(k, Family::gradient_slots, peer,
              m_.gradient_slot(in.segment, in.flat, in.gradient_slot) + k * n, n, false);
        else
          add(k, Family::gradients, peer, reduced_part(k), n, false);
      add(k, reduced, k, reduced_part(k), n, true);
    }
    if (in.op == Do::gather_gradient) {
      for (int peer = 0; peer < domain; ++peer) add(k, reduced, peer, reduced_part(peer), n, false);
      for (int r = 0; r < data && !slots; ++r)
        if (r != k) add(k, reduced, k, reduced_part(r), n, true);
    }
    if (in.op == Do::norm) add(k, reduced, k, reduced_part(k), n, false);
    if (in.op == Do::gather_update)
      for (int r = k; r < data; r += domain) {
        add(k, Family::update, 0, r * n, n, r != k);
      }
    if (in.op == Do::orthogonalize)
      for (int m = 0; m < int(p_.facts.matrices.size()); ++m) {
        MatrixInfo const& x = p_.facts.matrices[std::size_t(m)];
        Bytes const real = p_.layout.real;
        if (x.flat == in.flat && orthogonalizer(p_.facts, m, orthogonalizers(p_)) == k)
          add(k, Family::update, 0, x.offset * real, x.rows * x.cols * real, true);
      }
    if (in.op == Do::prepare || in.op == Do::step) {
      bool const steps = in.op == Do::step;
      bool const matrices = p_.orthogonalizes(in.flat);
      if (!steps || !(matrices || p_.layout.across == Across::sums))
        add(k, reduced, k, reduced_part(k), n, false);
      if (matrices) add(k, Family::update, 0, k * n, n, !steps);
      if (steps || !matrices)
        add(k, Family::weights, 0, m_.flat(Family::weights, in.flat, in.layer) + k * n, n, steps);
    }
  }

  void compare() {
    for (Touch const& a : now_)
      for (Touch const& b : now_)
        if (a.rank < b.rank && (a.writes || b.writes) && a.begin < b.end && b.begin < a.end)
          found_ = true;
  }

  /// Any other plan may come next: it gathers into slots, and reads weights.
  void follow() {
    auto const before = now_;
    Bytes const slots = m_.of(Family::gathered).bytes, weights = m_.of(Family::weights).bytes;
    for (int k = 0; k < p_.mesh.domain; ++k) {
      Bytes const mine = slots / p_.mesh.domain;
      add(k, Family::gathered, 0, k * mine, mine, true);
      if (m_.of(Family::weights).arena == Arena::domain)
        add(k, Family::weights, 0, 0, weights, false);
    }
    compare();
    now_ = before;
  }

  Plan const& p_;
  Placement m_;
  std::vector<Touch> now_{};
  bool found_ = false;
};

}  // namespace

TEST_CASE("no two ranks touch the same bytes between barriers; without any barrier some do") {
  int removed = 0;
  for (int zero = 0; zero < 4; ++zero)
    for (Reduction mode : {Step, Micro})
      for (int domain : {4, 2})
        for (int layers : {1, 3})
          for (int micros : {1, 2, 3}) {
            Plan const train = toy::plan(zero, {4, domain}, mode, micros, layers);
            Plan const sums = toy::plan(zero, {4, domain}, mode, micros, layers, Across::sums);
            Plan const matrices =
                toy::plan(zero, {4, domain}, mode, micros, layers, Across::matrices);
            Plan const two_sizes =
                make_plan(toy::facts_of_two_sizes(layers), matrices.layout, matrices.mesh);
            for (Plan const& p : {train, evaluate_plan(train, micros), sums, matrices, two_sizes}) {
              CHECK(!Ranks(p).race(2));
              for (std::size_t i = 0; i < p.rows.size(); ++i) {
                if (p.rows[i].op != Do::barrier) continue;
                Plan less = p;
                less.rows.erase(less.rows.begin() + std::ptrdiff_t(i));
                less.index();
                CHECK(Ranks(less).race(2));
                ++removed;
              }
            }
          }
  CHECK(removed > 200);
}

TEST_CASE("a domain of one rank needs no barrier; waits order its streams") {
  for (int zero = 0; zero < 4; ++zero) {
    bool waits = false;
    for (Row const& r : toy::plan(zero, {4, 1}, Micro, 2).rows) {
      CHECK(r.op != Do::barrier);
      waits = waits || r.wait != Waits{};
    }
    CHECK(waits);
  }
}
