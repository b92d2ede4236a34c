#include <tessera/run/trace.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <map>
#include <new>

namespace {
int allocations = 0;
}
[[gnu::noinline]] void* operator new(std::size_t n) {
  ++allocations;
  if (void* const p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

using namespace tessera;

namespace {

constexpr std::string_view streams[] = {"compute", "communication"};

nlohmann::json events(std::initializer_list<Trace const*> ranks, std::int64_t origin = 0) {
  std::vector<std::string> texts;
  for (Trace const* const t : ranks) texts.push_back(t->text(int(texts.size()), streams, origin));
  auto const j = nlohmann::json::parse(Trace::document(texts));
  CHECK(j["displayTimeUnit"] == "ms");
  return j["traceEvents"];
}

}  // namespace

TEST_CASE("every rank is a process, every stream a thread, every event a span in microseconds") {
  Trace a(8), b(8);
  a.record({"forward", 1'000'000'001'500, 1'000'000'004'000, 0, 3, 1});
  b.record({"gather \"w\"", 1'000'000'002'000, 1'000'000'002'001, 1, -1, -1, 4096});
  auto const all = events({&a, &b}, 1'000'000'000'000);
  std::map<std::string, int> names;
  nlohmann::json spans = nlohmann::json::array();
  for (auto const& e : all) {
    if (e["ph"] == "X") spans.push_back(e);
    if (e["name"] == "process_name" || e["name"] == "thread_name")
      ++names[e["args"]["name"].get<std::string>()];
  }
  CHECK(names == std::map<std::string, int>{
                     {"communication", 2}, {"compute", 2}, {"rank 0", 1}, {"rank 1", 1}});
  CHECK(spans == nlohmann::json::parse(R"([
    {"ph": "X", "name": "forward", "pid": 0, "tid": 0, "ts": 1.5, "dur": 2.5,
     "args": {"layer": 3, "micro": 1}},
    {"ph": "X", "name": "gather \"w\"", "pid": 1, "tid": 1, "ts": 2.0, "dur": 0.001,
     "args": {"bytes": 4096}}])"));
}

TEST_CASE("a full ring keeps the newest events, oldest first") {
  Trace t(4);
  for (int i = 0; i < 10; ++i) t.record({"e", i * 1000, i * 1000 + 1, 0, i});
  CHECK(t.size() == 4);
  CHECK(t.lost() == 6);
  std::vector<int> layers;
  for (auto const& e : events({&t}))
    if (e["ph"] == "X") layers.push_back(e["args"]["layer"]);
  CHECK(layers == std::vector{6, 7, 8, 9});
  t.clear();
  CHECK(t.size() == 0);
  CHECK(t.lost() == 0);
  t.record({"e", 0, 1, 0, 10});
  CHECK(t.size() == 1);
}

TEST_CASE("recording allocates nothing; a trace that is off records nothing") {
  Trace t(1000), off;
  int const before = allocations;
  for (int i = 0; i < 3000; ++i) {
    t.record({"forward", Trace::now(), Trace::now(), 0, i, i});
    off.record({"forward", 0, 1, 0, i, i});
  }
  CHECK(allocations == before);
  CHECK(!off.on());
  CHECK(off.size() == 0);
  for (auto const& e : events({&off})) CHECK(e["ph"] == "M");
}

TEST_CASE("no ranks, no events: still a file that can be read") {
  CHECK(events({}).empty());
}
