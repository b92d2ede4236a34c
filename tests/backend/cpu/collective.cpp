#include <tessera/backend/cpu/collective.hpp>

#include "../../ranks.hpp"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

using namespace tessera;
using test::world;

namespace {

/// Element i of rank r's gradient: of very different sizes, so that the order of a sum shows.
float gradient(int r, std::int64_t i) {
  auto const h = std::uint32_t(r * 7919 + i) * 2654435761u;
  return std::ldexp(float(int(h >> 8) - (1 << 23)), int(h % 24) - 40);
}

/// The sum over `ranks` ranks from `first` by halves, an odd number of them from the left.
float by_halves(int first, int ranks, std::int64_t i) {
  if (ranks % 2 == 0) {
    float const left = by_halves(first, ranks / 2, i);
    return left + by_halves(first + ranks / 2, ranks / 2, i);
  }
  float sum = gradient(first, i);
  for (int r = first + 1; r < first + ranks; ++r) sum += gradient(r, i);
  return sum;
}
float expected(std::int64_t i) {
  return by_halves(0, world().size(), i);
}

std::vector<int> domain_sizes() {
  std::vector<int> sizes;
  for (int s = 1; s <= world().size(); s *= 2)
    if (world().can_share(s)) sizes.push_back(s);
  return sizes;
}

/// What Domain and Collective need for whole gradients of D parts on every rank.
struct Fixture {
  Fixture(int s, std::int64_t part_elements)
      : part(part_elements),
        count(world().size() * part),
        domain(world(), s, s * count * Bytes(sizeof(float))),
        collective(world(), domain),
        room(std::size_t((world().size() - s) * part)) {
    for (std::int64_t i = 0; i < count; ++i) own()[i] = gradient(world().rank(), i);
  }
  float* peer(int local) { return reinterpret_cast<float*>(domain.base()) + local * count; }
  float* own() { return peer(domain.local()); }
  void reduce(float* out, bool accumulate) {
    domain.barrier();
    collective.reduce<float>(
        out, accumulate, part, [&](int l) { return peer(l); }, room);
    domain.barrier();
  }
  Bytes bytes() const { return part * Bytes(sizeof(float)); }

  std::int64_t part, count;
  Domain domain;
  Collective collective;
  std::vector<float> room;
};

}  // namespace

TEST_CASE("a gather brings every domain the parts of the others, once, and copies nothing in one") {
  for (int const s : domain_sizes())
    for (Bytes const part : {Bytes(4), Bytes(1000), Bytes(1_MiB + 12)}) {
      int const ranks = world().size();
      Domain domain(world(), s, ranks * part);
      Collective collective(world(), domain);
      for (int turn = 1; turn <= 3; ++turn) {
        std::byte* const mine = domain.base() + world().rank() * part;
        for (Bytes i = 0; i < part; ++i) mine[i] = std::byte(world().rank() * 31 + i * 7 + turn);
        collective.gather(domain.base(), part);
        domain.barrier();
        std::int64_t wrong = 0;
        for (int r = 0; r < ranks; ++r)
          for (Bytes i = 0; i < part; ++i)
            wrong += domain.base()[r * part + i] != std::byte(r * 31 + i * 7 + turn);
        CHECK(wrong == 0);
        CHECK(collective.traffic().gathered ==
              Counter{turn, turn * (ranks / s - 1) * part, turn * (ranks - 1) * part});
        domain.barrier();
      }
    }
}

TEST_CASE("a reduced part is the sum by halves, bit for bit, for every domain size") {
  for (int const s : domain_sizes())
    for (std::int64_t const part : {std::int64_t(1), std::int64_t(256), std::int64_t(70003)}) {
      Fixture f(s, part);
      std::vector<float> out(std::size_t(part), 77.f);
      f.reduce(out.data(), false);
      std::int64_t wrong = 0, accumulated_wrong = 0;
      std::int64_t const first = world().rank() * part;
      for (std::int64_t i = 0; i < part; ++i) wrong += out[std::size_t(i)] != expected(first + i);
      CHECK(wrong == 0);
      f.reduce(out.data(), true);
      for (std::int64_t i = 0; i < part; ++i)
        accumulated_wrong += out[std::size_t(i)] != expected(first + i) + expected(first + i);
      CHECK(accumulated_wrong == 0);
      Bytes const moved = (world().size() - 1) * f.bytes();
      CHECK(f.collective.traffic().reduced == Counter{2, 2 * moved, 2 * moved});
      CHECK(f.collective.traffic().gathered == Counter{});
    }
}

TEST_CASE(
    "reduced parts are gathered from whole buffers or from shares: the same bits everywhere") {
  for (bool const in_place : {true, false})
    for (int const s : domain_sizes()) {
      Fixture f(s, 70001);
      std::vector<float> whole(std::size_t(f.count));
      f.reduce(f.own() + world().rank() * f.part, false);
      auto const share = [&](int l) -> float const* {
        return f.peer(l) + (f.domain.first() + l) * f.part;
      };
      float* const out = in_place ? f.own() : whole.data();
      f.collective.gather_gradient(out, f.part, share);
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < f.count; ++i) wrong += out[i] != expected(i);
      CHECK(wrong == 0);
      CHECK(f.collective.traffic().gradients_gathered ==
            Counter{1, (world().size() - 1) * f.bytes(), (world().size() - 1) * f.bytes()});
      f.domain.barrier();
    }
}

TEST_CASE("a share is placed in the whole before it is gathered, and that copy counts") {
  for (int const s : domain_sizes()) {
    Bytes const part = 300000;  // several blocks, the last one short
    Domain domain(world(), s, world().size() * part);
    Collective collective(world(), domain);
    std::vector<std::byte> share(std::size_t(part), std::byte(world().rank() + 1));
    collective.place(domain.base() + world().rank() * part, share.data(), part);
    collective.gather(domain.base(), part);
    domain.barrier();
    std::int64_t wrong = 0;
    for (Bytes i = 0; i < world().size() * part; ++i)
      wrong += domain.base()[i] != std::byte(i / part + 1);
    CHECK(wrong == 0);
    CHECK(collective.traffic().gathered.copied == part + (world().size() / s - 1) * part);
    domain.barrier();
  }
}

TEST_CASE("an exchange gives every rank every row") {
  for (int const s : domain_sizes()) {
    Domain domain(world(), s, page_bytes);
    Collective collective(world(), domain);
    constexpr int per_rank = 3;
    std::vector<double> table(std::size_t(world().size() * per_rank), -1);
    for (int i = 0; i < per_rank; ++i)
      table[std::size_t(world().rank() * per_rank + i)] = world().rank() + i / 8.;
    collective.exchange(table.data(), per_rank);
    for (int r = 0; r < world().size(); ++r)
      for (int i = 0; i < per_rank; ++i) CHECK(table[std::size_t(r * per_rank + i)] == r + i / 8.);
    CHECK(collective.traffic().exchanged ==
          Counter{1, (world().size() - 1) * per_rank * 8, (world().size() - 1) * per_rank * 8});
  }
}

TEST_CASE("an exchange buffer that is too small is refused before anything moves" *
          test::several_ranks) {
  test::needs_ranks(2);
  Fixture f(1, 64);
  std::vector<float> out(64), little(63);
  auto const peer = [&](int l) { return f.peer(l); };
  CHECK_THROWS_AS(f.collective.reduce<float>(out.data(), false, f.part, peer, little), Error);
}

TEST_CASE("a rank that sends nothing is named" * test::several_ranks) {
  test::needs_ranks(2);
  setenv("TESSERA_PATIENCE", "1", 1);
  Fixture f(1, 64);
  setenv("TESSERA_PATIENCE", "60", 1);
  int const culprit = world().size() - 1;
  // Outlives the wait that is given up: the late message still comes.
  static std::vector<double> table(std::size_t(world().size()));
  if (world().rank() == culprit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    f.collective.exchange(table.data(), 1);
  } else {
    std::string sentence;
    try {
      f.collective.exchange(table.data(), 1);
    } catch (Error const& error) {
      sentence = error.what();
    }
    INFO(sentence);
    CHECK(sentence.find("for rank " + std::to_string(culprit)) != std::string::npos);
  }
  MPI_Barrier(world().comm());
}
