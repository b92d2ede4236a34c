#include <tessera/run/log.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

using namespace tessera;

namespace {

struct Folder {
  std::filesystem::path at;
  Folder() {
    char name[] = "/tmp/tessera-log-XXXXXX";
    at = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(at); }
};
std::string text_of(std::filesystem::path const& path) {
  std::stringstream s;
  s << std::ifstream(path).rdbuf();
  return s.str();
}
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (Error const& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a line is on disk, as one object, as soon as it is written") {
  Folder const f;
  std::string const path = f.at / "made" / "on demand" / "log.jsonl";
  Log log(path);
  log.line({{"step", 3}, {"train_loss", 1.25f}, {"validation_loss", 0.1}, {"note", "a"}});
  CHECK(text_of(path) ==
        "{\"step\": 3, \"train_loss\": 1.25, \"validation_loss\": 0.1, \"note\": \"a\"}\n");
  log.line({});
  CHECK(text_of(path).ends_with("\n{}\n"));
}

TEST_CASE("another program reads back the same values") {
  Folder const f;
  float const third = 1.0f / 3;
  double const tiny = 5e-324, nan = std::numeric_limits<double>::quiet_NaN();
  std::string const odd = "quote \" slash \\ line\n tab\t bell\a umlaut \xc3\xa4 zero";
  {
    Log log(f.at / "l");
    log.line(
        {{"f", third}, {"d", tiny}, {"nan", nan}, {"inf", -1 / 0.0f}, {odd, odd}, {"yes", true}});
    log.line({{"least", std::numeric_limits<std::int64_t>::min()}, {"size", std::size_t(7)}});
  }
  std::ifstream in(f.at / "l");
  std::string line;
  std::getline(in, line);
  auto const j = nlohmann::json::parse(line);
  CHECK(j["f"].get<float>() == third);
  CHECK(j["d"].get<double>() == tiny);
  CHECK(j["nan"].is_null());
  CHECK(j["inf"].is_null());
  CHECK(j["yes"] == true);
  CHECK(j[odd] == odd);
  CHECK(line.find("0.33333334") != std::string::npos);  // float digits, not those of its double
  std::getline(in, line);
  CHECK(nlohmann::json::parse(line)["least"] == std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("a log is replaced, or extended when a run is resumed") {
  Folder const f;
  std::string const path = f.at / "l";
  Log(path).line({{"a", 1}});
  Log(path, OutputFile::Mode::extend).line({{"b", 2}});
  CHECK(text_of(path) == "{\"a\": 1}\n{\"b\": 2}\n");
  Log(path).line({{"c", 3}});
  CHECK(text_of(path) == "{\"c\": 3}\n");
}

TEST_CASE("a full disk names the file, the bytes and the way out") {
  std::string const why = refusal([] { Log("/dev/full").line({{"step", 1}}); });
  CHECK(why ==
        "tessera: cannot write 12 bytes to /dev/full after 0 (No space left on device); free "
        "space there, or choose another place");
}

TEST_CASE("a place that fills up keeps whole lines only") {
  Folder const f;
  std::string const path = f.at / "l";
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit const before = [] {
    rlimit r{};
    ::getrlimit(RLIMIT_FSIZE, &r);
    return r;
  }();
  rlimit const small{100, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string const why = refusal([&] {
    Log log(path);
    for (int step = 0;; ++step) log.line({{"step", step}, {"loss", 1.5}});
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK(why.find("cannot write 25 bytes to " + path +
                 " after 100 (File too large); what was written "
                 "before is whole") != std::string::npos);
  CHECK(std::filesystem::file_size(path) == 100);
  CHECK(text_of(path).ends_with("{\"step\": 3, \"loss\": 1.5}\n"));
}

TEST_CASE("a place that cannot be written") {
  CHECK(refusal([] {
          Log("/proc/no/log.jsonl");
        }).find("cannot open /proc/no/log.jsonl for writing") != std::string::npos);
  CHECK(refusal([] { Log("/"); }).find("Is a directory") != std::string::npos);
}
