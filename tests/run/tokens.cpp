#include <tessera/run/tokens.hpp>

#include <tessera/run/data.hpp>

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

using namespace tessera;

static_assert(Data<Tokens>);

namespace {

struct Folder {
  std::filesystem::path at;
  Folder() {
    char name[] = "/tmp/tessera-data-XXXXXX";
    at = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(at); }

  template <class T>
  std::string put(char const* name, std::vector<T> const& values) const {
    std::ofstream(at / name, std::ios::binary)
        .write(reinterpret_cast<char const*>(values.data()),
               std::streamsize(values.size() * sizeof(T)));
    return at / name;
  }
};

template <class T>
std::vector<T> counting(int n, T first = 0) {
  std::vector<T> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), first);
  return v;
}

struct Sample {
  std::vector<std::int32_t> input, target;
};
template <Data D>
Sample read(D const& data, std::int64_t index, int tokens, int vocabulary = 1 << 30) {
  Sample s{std::vector<std::int32_t>(std::size_t(tokens)),
           std::vector<std::int32_t>(std::size_t(tokens))};
  read_sample(data, index, vocabulary, s.input, s.target);
  return s;
}

/// The sentence that f refuses with.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (Error const& e) {
    return e.what();
  }
  return "no error";
}
bool has(std::string const& text, std::initializer_list<char const*> words) {
  for (char const* const w : words)
    if (text.find(w) == std::string::npos) {
      MESSAGE("'" << w << "' is not in: " << text);
      return false;
    }
  return true;
}

}  // namespace

TEST_CASE("the three encodings give the same samples, targets one token on") {
  Folder const f;
  auto const bytes = Tokens::open(f.put("a.txt", counting<std::uint8_t>(101)));
  auto const words = Tokens::open(f.put("a.bin", counting<std::uint16_t>(101)));
  auto const wide = Tokens::open(f.put("a.bin32", counting<std::uint32_t>(101)));
  for (auto const& t : {bytes, words, wide}) {
    CHECK(t.size() == 101);
    CHECK(t[100] == 100);
    CHECK(t.samples(10) == 10);
    CHECK(t.samples(7) == 14);
    CHECK(t.samples(100) == 1);
    for (int i = 0; i < 10; ++i) {
      Sample const s = read(t, i, 10);
      CHECK(s.input == counting<std::int32_t>(10, 10 * i));
      CHECK(s.target == counting<std::int32_t>(10, 10 * i + 1));
    }
  }
  CHECK(Tokens::open(f.put("b.dat", counting<std::uint16_t>(50)), Encoding::uint16).size() == 50);
  CHECK(Tokens::open(f.put("b.bin", counting<std::uint16_t>(50)), Encoding::bytes).size() == 100);
}

TEST_CASE("the header that llm.c writes is skipped") {
  Folder const f;
  std::vector<std::uint16_t> v(512 + 40);
  std::int32_t const header[3] = {20240520, 1, 40};
  std::memcpy(v.data(), header, sizeof header);
  for (int i = 0; i < 40; ++i) v[std::size_t(512 + i)] = std::uint16_t(i + 7);
  auto const t = Tokens::open(f.put("h.bin", v));
  CHECK(t.size() == 40);
  CHECK(read(t, 0, 39).input.front() == 7);
}

TEST_CASE("a split shares the file; the parts are neighbours and do not overlap") {
  Folder const f;
  auto const [train, validation] =
      Tokens::open(f.put("a.bin", counting<std::uint16_t>(1000))).split(0.05);
  CHECK(train.size() == 950);
  CHECK(validation.size() == 50);
  CHECK(read(train, train.samples(10) - 1, 10).target.back() == 940);
  CHECK(read(validation, 0, 10).input.front() == 950);
  CHECK(read(validation, validation.samples(7) - 1, 7).target.back() == 999);
  CHECK(train.where(3, 10, 2) == train.path() + ", token 32");
  CHECK(validation.where(0, 10, 2) == train.path() + ", token 952");
}

TEST_CASE("files that cannot be used are refused on every rank with the way out") {
  Folder const f;
  auto const opening = [](std::string const& path) { return refusal([&] { Tokens::open(path); }); };
  CHECK(has(opening(f.at / "no.txt"), {"no.txt does not exist", "check the path"}));
  CHECK(has(opening(f.at), {"is a directory", "name one file"}));
  CHECK(has(opening(f.put<char>("empty.txt", {})), {"empty.txt is empty", "must hold"}));
  CHECK(has(opening(f.put<char>("odd.bin", {1, 2, 3})),
            {"odd.bin holds 3 bytes", "2-byte tokens", "Encoding"}));
  CHECK(has(opening(f.put<char>("odd.bin32", {1, 2, 3, 4, 5})), {"5 bytes", "4-byte"}));
  CHECK(has(opening("/dev/zero"), {"/dev/zero is not a regular file"}));
  CHECK(has(opening(f.put<char>("file", {1}) + "/below"), {"cannot be opened", "Not a directory"}));
  ::mkfifo((f.at / "pipe").c_str(), 0600);
  CHECK(has(opening(f.at / "pipe"), {"pipe is not a regular file"}));
  if (::geteuid() != 0) {
    std::string const secret = f.put<char>("secret", {1, 2});
    ::chmod(secret.c_str(), 0);
    CHECK(has(opening(secret), {"secret cannot be read", "permissions"}));
  }
  try {
    Tokens::open(f.at / "no.txt");
  } catch (Error const& e) {
    CHECK(e.everywhere());
  }
  for (int k = 0; k < 2000; ++k) opening(f.at / "empty.txt");  // no descriptor is left open
  CHECK(Tokens::open(f.at / "odd.bin", Encoding::bytes).size() == 3);
}

TEST_CASE("too short for one sample: says how many tokens there are and how many it takes") {
  Folder const f;
  auto const t = Tokens::open(f.put("short.txt", counting<std::uint8_t>(128)));
  CHECK(t.samples(127) == 1);
  CHECK(has(refusal([&] { t.samples(128); }), {"short.txt has 128 tokens", "needs 129", "longer"}));
  CHECK(has(refusal([&] { t.split(0.1).validation.samples(32); }),
            {"12 tokens in its validation part", "needs 33"}));
  CHECK(has(refusal([&] { t.split(1.5); }), {"1.5", "0 <= share < 1"}));
}

TEST_CASE("a token outside the vocabulary: file, place, value, vocabulary") {
  Folder const f;
  auto values = counting<std::uint16_t>(100);
  values[63] = 50257;
  auto const t = Tokens::open(f.put("v.bin", values));
  CHECK(read(t, 5, 10, 100).input[0] == 50);
  CHECK(has(refusal([&] { read(t, 6, 10, 100); }),
            {"v.bin, token 63", "50257", "vocabulary of 100"}));
  values[63] = 63;
  values[60] = 300;  // only the last target of sample 5 has it
  auto const u = Tokens::open(f.put("u.bin", values));
  CHECK(has(refusal([&] { read(u, 5, 10, 100); }), {"u.bin, token 60", "300"}));
  auto wide = counting<std::uint32_t>(10);
  wide[9] = 0xFFFFFFFFu;  // as an int32 target it would be silently ignored
  auto const w = Tokens::open(f.put("w.bin32", wide));
  CHECK(has(refusal([&] { read(w, 0, 9, 100); }), {"w.bin32", "4294967295"}));
}

TEST_CASE("a file that shrinks while it is open") {
  Folder const f;
  std::string const path = f.put("cut.txt", counting<std::uint8_t>(200));
  auto const t = Tokens::open(path);
  CHECK(read(t, 0, 10).input[9] == 9);
  std::filesystem::resize_file(path, 50);
  CHECK(
      has(refusal([&] { read(t, 10, 10); }), {"cut.txt shrank from 200 to 50", "leave it alone"}));
}

TEST_CASE("a file larger than the memory it may take is opened at once") {
  Folder const f;
  std::string const path = f.put<char>("huge.bin", {1, 0});
  std::filesystem::resize_file(path, std::uintmax_t(1) << 42);  // 4 TiB, sparse
  auto const t = Tokens::open(path);
  CHECK(t.size() == std::int64_t(1) << 41);
  CHECK(read(t, t.samples(1024) - 1, 1024).target.back() == 0);
}
