#include <tessera/run/progress.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace tessera;

namespace {

Status const full{.step = 12,
                  .steps = 400,
                  .loss = 2.34567,
                  .validation_loss = 2.41,
                  .tokens_per_second = 1234,
                  .share_of_peak = 0.85,
                  .memory = 1300_MiB,
                  .seconds_left = 72};

int width(std::string const& utf8) {
  int n = 0;
  for (char const c : utf8) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

template <class F>
std::string printed(F&& f) {
  std::FILE* const file = std::tmpfile();
  f(file);
  std::string text(std::size_t(std::ftell(file)), '\0');
  std::rewind(file);
  CHECK(std::fread(text.data(), 1, text.size(), file) == text.size());
  std::fclose(file);
  return text;
}
int count(std::string const& text, std::string const& what) {
  int n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("counts, bytes and times as people read them") {
  CHECK(human_count(0) == "0");
  CHECK(human_count(7.25) == "7.25");
  CHECK(human_count(999) == "999");
  CHECK(human_count(999.7) == "1.00k");
  CHECK(human_count(1234) == "1.23k");
  CHECK(human_count(99960) == "100k");
  CHECK(human_count(124e6) == "124M");
  CHECK(human_count(Status::unknown) == "?");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1536) == "1.50 KiB");
  CHECK(human_bytes(1023_KiB) == "1.00 MiB");
  CHECK(human_bytes(3482_MiB) == "3.40 GiB");
  CHECK(human_time(0.0123) == "12ms");
  CHECK(human_time(7.34) == "7.3s");
  CHECK(human_time(59.7) == "1m 00s");
  CHECK(human_time(72) == "1m 12s");
  CHECK(human_time(7510) == "2h 05m");
  CHECK(human_time(86400 * 3 + 3600 * 4) == "3d 04h");
}

TEST_CASE("a line says what is known and leaves out what is not") {
  CHECK(
      progress_line(full, 0) ==
      "step  12/400 · loss 2.3457 · validation 2.4100 · 1.23k tok/s · 1m 12s left · 85% of peak · "
      "1.27 GiB");
  CHECK(progress_line({.step = 3, .steps = 3, .loss = 1}, 0) == "step 3/3 · loss 1.0000");
  CHECK(progress_line({.step = 200, .steps = 400}, 80) == "step 200/400 ━━━━━━──────");
}

TEST_CASE("a line is never wider than the terminal and drops the least important facts first") {
  int last = 0;
  for (int columns = 1; columns < 140; ++columns) {
    std::string const line = progress_line(full, columns);
    CHECK((width(line) <= columns || line == "step  12/400"));
    CHECK(width(line) >= last - 12);
    last = width(line);
  }
  CHECK(progress_line(full, 30) == "step  12/400 · loss 2.3457");
  CHECK(count(progress_line(full, 140), "─") == 12);
}

TEST_CASE("on a terminal one line is rewritten; text goes above it") {
  std::string const text = printed([](std::FILE* f) {
    Progress p(f, 100, 5);
    for (int step = 1; step <= 10; ++step) {
      p.show({.step = step, .steps = 10, .loss = 1}, step);
      if (step == 5) p.say("validation");
    }
  });
  CHECK(count(text, "\r") == 11);
  CHECK(count(text, "\n") == 2);
  CHECK(count(text, "\x1b[Kvalidation\n") == 1);
  CHECK(text.ends_with("\n"));
}

TEST_CASE("elsewhere: whole lines, the first, the last, and one every five seconds between") {
  std::string const text = printed([](std::FILE* f) {
    Progress p(f, 0, 5);
    for (int step = 1; step <= 12; ++step) p.show({.step = step, .steps = 12}, step);
  });
  CHECK(text == "step  1/12\nstep  6/12\nstep 11/12\nstep 12/12\n");
}

TEST_CASE("a pipe or a file is not a terminal, unless the environment names a width") {
  auto const lines = [] {
    return printed([](std::FILE* f) {
      Progress p(f);
      p.show({.step = 1, .steps = 1});
    });
  };
  ::unsetenv("TESSERA_COLUMNS");
  CHECK(lines() == "step 1/1\n");
  ::setenv("TESSERA_COLUMNS", "70", 1);
  CHECK(lines() == "\rstep 1/1 ━━━━━━━━━━━━\x1b[K\n");
  ::setenv("TESSERA_COLUMNS", "0", 1);
  CHECK(lines() == "step 1/1\n");
}
