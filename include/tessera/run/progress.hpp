/// How a run is doing: a line that rewrites itself on a terminal, now and then a line elsewhere.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/run/human.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// What is known after a step; NaN and 0 bytes: not known, left out.
struct Status {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

  std::int64_t step = 0, steps = 0;  // step: how many are done
  double loss = unknown, validation_loss = unknown;
  double tokens_per_second = unknown;
  double share_of_peak = unknown;  // of the machine's GEMM speed: 0 .. 1
  Bytes memory = 0;
  double seconds_left = unknown;
};

/// step 12/400 ━───── · loss 2.3457 · validation 2.4100 · 1.23k tok/s · 1m 12s left · 85% of peak
/// At most `columns` wide: the last facts go first, then the bar. columns = 0: no bar, no limit.
inline std::string progress_line(Status const& s, int columns) {
  struct Text {
    std::string bytes;
    int width = 0;  // columns; the bar and the dots take several bytes each
    void add(std::string_view ascii) {
      bytes += ascii;
      width += int(ascii.size());
    }
  };
  char number[64];
  auto const fixed = [&](char const* format, double x) {
    std::snprintf(number, sizeof number, format, x);
    return std::string(number);
  };
  std::string const steps = std::to_string(s.steps);
  std::string step = std::to_string(s.step);
  if (step.size() < steps.size()) step.insert(0, steps.size() - step.size(), ' ');

  std::string facts[6];
  int n = 0;
  if (!std::isnan(s.loss)) facts[n++] = "loss " + fixed("%.4f", s.loss);
  if (!std::isnan(s.validation_loss)) facts[n++] = "validation " + fixed("%.4f", s.validation_loss);
  if (!std::isnan(s.tokens_per_second)) facts[n++] = human_count(s.tokens_per_second) + " tok/s";
  if (!std::isnan(s.seconds_left)) facts[n++] = human_time(s.seconds_left) + " left";
  if (!std::isnan(s.share_of_peak)) facts[n++] = fixed("%.0f", 100 * s.share_of_peak) + "% of peak";
  if (s.memory > 0) facts[n++] = human_bytes(s.memory);

  constexpr int bar = 12;
  Text head, line;
  head.add("step " + step + "/" + steps);
  int width = head.width;
  int shown = 0;
  while (shown < n && (columns == 0 || width + 3 + int(facts[shown].size()) <= columns))
    width += 3 + int(facts[shown++].size());

  line = head;
  if (columns > 0 && shown == n && width + 1 + bar <= columns) {
    auto const full = s.steps > 0 ? bar * s.step / s.steps : 0;
    line.bytes += ' ';
    for (int i = 0; i < bar; ++i) line.bytes += i < full ? "━" : "─";
  }
  for (int i = 0; i < shown; ++i) line.bytes += " · " + facts[i];
  return line.bytes;
}

/// Shows Statuses. Under mpirun a rank's output looks like a terminal without a width even when it
/// goes to a file, so a width is asked for too; TESSERA_COLUMNS, 0 for none, overrules both.
class Progress {
 public:
  explicit Progress(std::FILE* out = stdout, double seconds_between_lines = 5)
      : Progress(out, columns_of(::fileno(out)), seconds_between_lines) {}
  /// columns = 0: not a terminal.
  Progress(std::FILE* out, int columns, double seconds_between_lines)
      : out_(out), columns_(columns), between_(seconds_between_lines) {}
  Progress(Progress const&) = delete;
  Progress& operator=(Progress const&) = delete;
  ~Progress() { end_line(); }

  /// The first and the last step are always shown. `now`: seconds of any steady clock.
  void show(Status const& s, double now = seconds()) {
    bool const edge = s.step >= s.steps || std::isnan(last_);
    double const wait = columns_ > 0 ? 0.1 : between_;
    if (!edge && now - last_ < wait) return;
    last_ = now;
    std::string const line = progress_line(s, columns_ > 0 ? columns_ - 1 : 0);
    if (columns_ > 0)
      std::fprintf(out_, "\r%s\x1b[K", line.c_str());
    else
      std::fprintf(out_, "%s\n", line.c_str());
    std::fflush(out_);
    open_ = columns_ > 0;
  }

  /// A lasting line of text between progress lines.
  void say(std::string const& text) {
    if (open_) std::fputs("\r\x1b[K", out_);
    open_ = false;
    std::fprintf(out_, "%s\n", text.c_str());
    std::fflush(out_);
  }

  void end_line() {
    if (open_) std::fputc('\n', out_);
    open_ = false;
    std::fflush(out_);
  }

  static double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

 private:
  static int columns_of(int file) {
    if (char const* const text = std::getenv("TESSERA_COLUMNS"))
      return std::atoi(text) > 0 ? std::atoi(text) : 0;
    char const* const terminal = std::getenv("TERM");
    winsize size{};
    if (terminal == nullptr || std::string_view(terminal) == "dumb" || !::isatty(file) ||
        ::ioctl(file, TIOCGWINSZ, &size) != 0)
      return 0;
    return size.ws_col;
  }

  std::FILE* out_;
  int columns_;
  double between_;
  double last_ = Status::unknown;
  bool open_ = false;  // the cursor stands in a line
};

}  // namespace tessera::inline TESSERA_SETTING
