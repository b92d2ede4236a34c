/// Save and resume: one file with every whole tensor by path, so any layout reads what another
/// wrote.
///
///   tessera checkpoint 1\n
///   step <steps>\n
///   loss_scale <scale> <step> <last overflow> <hysteresis> <skipped>\n   if fp16 had a part in it
///   optimizer <name>\n
///   real <bytes>\n   or, of StochasticRounding, bf16 2\n
///   tensor <path> <what> <elements> <offset in bytes from the end of the header>\n ...
///   end\n
///   values, little-endian, in the order of the index
#pragma once

#include <tessera/run/engine.hpp>
#include <tessera/run/json.hpp>
#include <tessera/run/output.hpp>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

inline std::vector<std::string> kinds_of(Engine& engine, std::string const& path) {
  std::vector<std::string> kinds{"values"};
  if (engine.parameters().find(path).trainable)
    for (std::string_view s : engine.states_of(path)) kinds.emplace_back(s);
  return kinds;
}
inline What what_of(Engine& engine, std::string const& path, std::string const& kind) {
  auto const states = engine.states_of(path);
  for (std::size_t i = 0; i < states.size(); ++i)
    if (states[i] == kind) return {What::state, int(i)};
  return {};
}

inline constexpr std::string_view first_line = "tessera checkpoint 1";

/// How far the run is: the lines that differ between checkpoints of one run.
inline std::string progress_of(Engine const& engine) {
  std::string text = "step " + std::to_string(engine.steps()) + "\n";
  LossScaler const& s = engine.scaler();
  if (!engine.scales() && s.skipped == 0) return text;
  text += "loss_scale ";
  json::append(text, s.scale);
  for (std::int64_t const n : {s.step, s.last_overflow, std::int64_t(s.hysteresis), s.skipped})
    text += " " + std::to_string(n);
  return text + "\n";
}
/// What values are written as: those that lie in memory as bf16, and nowhere exact, as bf16.
inline DType written_as(Engine const& engine) {
  Plan const& p = engine.plan();
  for (int f = 0; f < p.flats(); ++f)
    if (p.in_full(f)) return DType::real;
  return p.layout.state_type();
}
inline std::string type_line(DType type) {
  return (type == DType::bf16 ? "bf16 " : "real ") + std::to_string(size_of(type));
}
inline std::string optimizer_line(Engine const& engine) {
  return "optimizer " + std::string(engine.optimizer().name);
}
/// The rest of the header: the same text for the same model and type.
inline std::string index_of(Engine& engine, DType type) {
  std::ostringstream header;
  header << type_line(type) << "\n";
  Bytes offset = 0;
  for (std::string const& p : engine.parameters().paths())
    for (std::string const& kind : kinds_of(engine, p)) {
      std::int64_t const n = engine.parameters().find(p).shape.count();
      header << "tensor " << p << " " << kind << " " << n << " " << offset << "\n";
      offset += n * size_of(type);
    }
  header << "end\n";
  return header.str();
}
/// Bytes of the values behind the header.
inline Bytes values_of(Engine& engine, DType type) {
  Bytes bytes = 0;
  for (std::string const& p : engine.parameters().paths())
    bytes += Bytes(kinds_of(engine, p).size()) * engine.parameters().find(p).shape.count() *
             size_of(type);
  return bytes;
}

/// As bf16 are written only values that are so in memory: nothing is rounded.
inline void append_values(OutputFile& file, std::vector<Real> const& values, DType type) {
  auto const append = [&](auto const& v) {
    file.append({reinterpret_cast<char const*>(v.data()), v.size() * sizeof(v[0])});
  };
  if (type != DType::bf16) return append(values);
  std::vector<bf16> low(values.size());
  for (std::size_t i = 0; i < low.size(); ++i) low[i] = bf16(values[i]);
  append(low);
}
inline void read_values(std::ifstream& in, std::vector<Real>& values, DType type) {
  auto const read = [&](auto& v) {
    in.read(reinterpret_cast<char*>(v.data()), std::streamsize(v.size() * sizeof(v[0])));
  };
  if (type != DType::bf16) return read(values);
  std::vector<bf16> low(values.size());
  read(low);
  for (std::size_t i = 0; i < low.size(); ++i) values[i] = Real(low[i]);
}

/// What a checkpoint says of its run's progress, and how it is written.
struct Saved {
  std::int64_t step = 0;
  std::optional<LossScaler> scaler{};
  DType type = DType::real;  // of its values
};

/// Numbers with a blank before each; false if that is not all that the text holds.
template <class... Number>
bool read_numbers(std::string_view text, Number&... numbers) {
  char const *at = text.data(), *const end = at + text.size();
  auto const read = [&](auto& number) {
    if (at == end || *at != ' ') return false;
    auto const [after, fault] = std::from_chars(at + 1, end, number);
    at = after;
    return fault == std::errc();
  };
  return (read(numbers) && ...) && at == end;
}
inline bool read_step(std::string_view line, std::int64_t& step) {
  return line.starts_with("step") && read_numbers(line.substr(4), step) && step >= 0;
}
inline bool read_scaler(std::string_view line, std::int64_t steps, LossScaler& s) {
  return read_numbers(line.substr(10), s.scale, s.step, s.last_overflow, s.hysteresis, s.skipped) &&
         s.scale > 0 && std::isfinite(s.scale) && s.hysteresis > 0 && s.last_overflow >= -1 &&
         s.last_overflow < s.step && s.skipped >= 0 && s.skipped <= steps;
}

/// The lines of a checkpoint's header, one at a time.
struct Header {
  std::ifstream& in;
  std::string const& path;
  Bytes size = 0;  // of the file
  std::string line{};

  [[noreturn]] void refuse(std::string const& why) const {
    throw Error("checkpoint " + path + " " + why);
  }
  [[noreturn]] void damaged(std::string const& what) const {
    refuse("is damaged: it says '" + line.substr(0, 80) + "' for its " + what +
           "; use an older one");
  }
  bool read() { return std::getline(in, line) && !in.eof(); }
  void require(bool whole) const {
    if (!whole)
      refuse("is cut short: it ends at byte " + std::to_string(size) + "; use an older one");
  }
  void next() { require(read()); }
  void expect(std::string const& want) const {
    if (line != want)
      refuse("says '" + line.substr(0, 120) + "' where this trainer has '" + want +
             "': it is of another model, optimizer or type; load it with the one that saved it");
  }
};

/// Leaves the first line behind them as the header's line.
inline Saved read_progress(Header& h) {
  bool const whole = h.read();
  if (h.line != first_line)
    h.refuse("is not one: its first line is not '" + std::string(first_line) + "'");
  h.require(whole);
  Saved saved;
  h.next();
  if (!read_step(h.line, saved.step)) h.damaged("step");
  h.next();
  if (!h.line.starts_with("loss_scale")) return saved;
  if (!read_scaler(h.line, saved.step, saved.scaler.emplace())) h.damaged("loss scale");
  h.next();
  return saved;
}

/// Reads up to the first value. Refuses a header other than this engine's; values may be of the
/// other type.
inline Saved read_header(Engine& engine, std::ifstream& in, std::string const& path) {
  std::error_code code;
  Header h{.in = in, .path = path, .size = Bytes(std::filesystem::file_size(path, code))};
  if (!in || code) h.refuse("cannot be read; check the path");
  Saved saved = read_progress(h);
  h.expect(optimizer_line(engine));
  h.next();
  bool const low = sizeof(Real) == 4 && h.line == type_line(DType::bf16);
  saved.type = low ? DType::bf16 : DType::real;
  std::istringstream wanted(index_of(engine, saved.type));
  bool first = true;
  for (std::string want; std::getline(wanted, want); first = false) {
    if (!first) h.next();
    h.expect(want);
  }
  Bytes const end = Bytes(in.tellg()) + values_of(engine, saved.type);
  if (h.size != end)
    h.refuse((h.size < end ? "is cut short: it has " : "is damaged: it has ") +
             std::to_string(h.size) + " bytes of " + std::to_string(end) + "; use an older one");
  return saved;
}

/// rename() makes the new file appear whole or not at all; both must be on the disk for that.
inline void publish_file(std::string const& from, std::string const& to) {
  int const f = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  bool const synced = f >= 0 && ::fsync(f) == 0;
  if (f >= 0) ::close(f);
  if (!synced || std::rename(from.c_str(), to.c_str()) != 0)
    throw Error("cannot finish " + to + " (" + std::strerror(errno) +
                "); the checkpoint before it is untouched: choose another place");
}

}  // namespace detail

/// Collective. The file appears when it is complete; one that was there stays until then.
inline void save_checkpoint(Engine& engine, std::string const& path) {
  Parameters& parameters = engine.parameters();
  World const& world = engine.world();
  std::string const unfinished = path + ".unfinished";
  DType const type = detail::written_as(engine);
  std::optional<OutputFile> file;
  std::optional<std::string> problem;
  auto const attempt = [&](auto const& write) {
    if (!world.root() || problem) return;
    try {
      write();
    } catch (Error const& e) {
      problem = e.what();
    }
  };
  attempt([&] {
    file.emplace(unfinished)
        .append(std::string(detail::first_line) + "\n" + detail::progress_of(engine) +
                detail::optimizer_line(engine) + "\n" + detail::index_of(engine, type));
  });
  for (std::string const& p : parameters.paths())
    for (std::string const& kind : detail::kinds_of(engine, p)) {
      std::vector<Real> const values = parameters.read(detail::what_of(engine, p, kind), p);
      attempt([&] { detail::append_values(*file, values, type); });
    }
  attempt([&] { detail::publish_file(unfinished, path); });
  file.reset();
  if (problem) ::unlink(unfinished.c_str());
  world.agree(problem);
}

/// Collective. Refuses a file of another model, optimizer or type, and one that is cut short,
/// before it changes anything.
inline void load_checkpoint(Engine& engine, std::string const& path) {
  World const& world = engine.world();
  std::ifstream in(path, std::ios::binary);
  detail::Saved saved;
  std::optional<std::string> problem;
  try {
    saved = detail::read_header(engine, in, path);
  } catch (Error const& e) {
    problem = e.what();
  }
  world.agree(problem);
  Parameters& parameters = engine.parameters();
  std::vector<Real> values;
  for (std::string const& p : parameters.paths())
    for (std::string const& kind : detail::kinds_of(engine, p)) {
      values.resize(std::size_t(parameters.find(p).shape.count()));
      detail::read_values(in, values, saved.type);
      if (!in) problem = "checkpoint " + path + " cannot be read at '" + p + "'; use an older one";
      world.agree(problem);
      parameters.write(detail::what_of(engine, p, kind), p, values);
    }
  engine.resume_at(saved.step, saved.scaler);
}

}  // namespace tessera::inline TESSERA_SETTING
