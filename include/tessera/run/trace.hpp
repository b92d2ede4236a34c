/// When a rank did what: events for Perfetto (ui.perfetto.dev) or chrome://tracing, one process per
/// rank, one thread per stream.
///
/// Recording writes into a ring that was allocated before; when it is full the oldest events go.
/// At the end each rank turns its events into text, and one rank writes the texts of all of them.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/run/json.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// A piece of work on a stream. Times are nanoseconds of Trace::now().
struct Event {
  std::string_view name;  // of static storage
  std::int64_t begin = 0, end = 0;
  int stream = 0;
  int layer = -1, micro = -1;  // -1: none
  std::int64_t bytes = -1;     // moved by it; -1: none
};

class Trace {
 public:
  /// capacity = 0: nothing is recorded, at the cost of one comparison.
  explicit Trace(std::int64_t capacity = 0) : ring_(static_cast<std::size_t>(capacity)) {}

  bool on() const { return !ring_.empty(); }
  void record(Event const& e) {
    if (on()) ring_[std::size_t(count_++) % ring_.size()] = e;
  }
  /// Forgets all events, as before the first.
  void clear() { count_ = 0; }
  std::int64_t size() const { return count_ - lost(); }
  /// Events that later ones overwrote.
  std::int64_t lost() const {
    return count_ > std::int64_t(ring_.size()) ? count_ - std::int64_t(ring_.size()) : 0;
  }

  /// Begin of the oldest event that is kept; now() without any.
  std::int64_t first() const {
    return size() > 0 ? ring_[std::size_t(lost()) % ring_.size()].begin : now();
  }

  /// CLOCK_MONOTONIC: one clock for all ranks of a machine.
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  /// This rank's events, oldest first: JSON objects, each followed by ",\n". `origin` becomes time
  /// zero: on several machines take each rank's now() right after a common barrier.
  std::string text(int rank, std::span<std::string_view const> lanes, std::int64_t origin) const {
    std::string out;
    out.reserve(std::size_t(size()) * 128 + 1024);
    name(out, "process_name", "rank " + std::to_string(rank), rank, 0);
    order(out, "process_sort_index", rank, rank, 0);
    for (int s = 0; s < int(lanes.size()); ++s) {
      name(out, "thread_name", lanes[std::size_t(s)], rank, s);
      order(out, "thread_sort_index", s, rank, s);
    }
    for (std::int64_t i = lost(); i < count_; ++i)
      append(out, ring_[std::size_t(i) % ring_.size()], rank, origin);
    return out;
  }

  /// The file: the texts of all ranks in any order.
  static std::string document(std::span<std::string const> texts) {
    std::string out = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
    for (std::string const& t : texts) out += t;
    if (out.ends_with(",\n")) out.erase(out.size() - 2, 1);
    return out + "]}\n";
  }

 private:
  static void head(std::string& out, char kind, std::string_view name, int rank, int stream) {
    out += "{\"ph\": \"";
    out += kind;
    out += "\", \"name\": ";
    json::append(out, name);
    out += ", \"pid\": ";
    json::append(out, rank);
    out += ", \"tid\": ";
    json::append(out, stream);
  }
  static void name(std::string& out, char const* what, std::string_view is, int rank, int stream) {
    head(out, 'M', what, rank, stream);
    out += ", \"args\": {\"name\": ";
    json::append(out, is);
    out += "}},\n";
  }
  static void order(std::string& out, char const* what, int place, int rank, int stream) {
    head(out, 'M', what, rank, stream);
    out += ", \"args\": {\"sort_index\": ";
    json::append(out, place);
    out += "}},\n";
  }
  static void microseconds(std::string& out, std::string_view field, std::int64_t nanoseconds) {
    char text[48];
    std::snprintf(text, sizeof text, "%.3f", double(nanoseconds) / 1000);
    ((out += ", \"") += field) += "\": ";
    out += text;
  }
  static void append(std::string& out, Event const& e, int rank, std::int64_t origin) {
    head(out, 'X', e.name, rank, e.stream);
    microseconds(out, "ts", e.begin - origin);
    microseconds(out, "dur", e.end - e.begin);
    std::string args;
    auto const arg = [&](std::string_view field, std::int64_t value) {
      if (value < 0) return;
      if (!args.empty()) args += ", ";
      json::append(args, field);
      args += ": ";
      json::append(args, value);
    };
    arg("layer", e.layer);
    arg("micro", e.micro);
    arg("bytes", e.bytes);
    if (!args.empty()) out += ", \"args\": {" + args + "}";
    out += "},\n";
  }

  std::vector<Event> ring_;
  std::int64_t count_ = 0;  // ever recorded
};

}  // namespace tessera::inline TESSERA_SETTING
