/// Save and resume: one file with every whole tensor by path, so any layout reads what another
/// wrote.
///
///   tessera checkpoint 1\n
///   step <steps>\n  optimizer <name>\n  real <bytes>\n
///   tensor <path> <what> <elements> <offset in bytes from the end of the header>\n ...
///   end\n
///   values, little-endian, in the order of the index
#pragma once

#include <tessera/run/engine.hpp>
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
    for (std::string_view s : engine.optimizer().states) kinds.emplace_back(s);
  return kinds;
}
inline What what_of(Engine& engine, std::string const& kind) {
  auto const& states = engine.optimizer().states;
  for (std::size_t i = 0; i < states.size(); ++i)
    if (states[i] == kind) return {What::state, int(i)};
  return {};
}

/// The same text for the same model, optimizer, type and step.
inline std::string header_of(Engine& engine) {
  std::ostringstream header;
  header << "tessera checkpoint 1\nstep " << engine.steps() << "\noptimizer "
         << engine.optimizer().name << "\nreal " << sizeof(Real) << "\n";
  Bytes offset = 0;
  for (std::string const& p : engine.parameters().paths())
    for (std::string const& kind : kinds_of(engine, p)) {
      std::int64_t const n = engine.parameters().find(p).shape.count();
      header << "tensor " << p << " " << kind << " " << n << " " << offset << "\n";
      offset += n * Bytes(sizeof(Real));
    }
  header << "end\n";
  return header.str();
}
/// Bytes of the values behind the header.
inline Bytes values_of(Engine& engine) {
  Bytes bytes = 0;
  for (std::string const& p : engine.parameters().paths())
    bytes += Bytes(kinds_of(engine, p).size()) * engine.parameters().find(p).shape.count() *
             Bytes(sizeof(Real));
  return bytes;
}

/// Reads up to the first value; returns the step. Refuses a header other than this engine's.
inline std::int64_t read_header(Engine& engine, std::ifstream& in, std::string const& path) {
  auto const refuse = [&](std::string const& why) {
    throw Error("checkpoint " + path + " " + why);
  };
  std::error_code code;
  Bytes const size = Bytes(std::filesystem::file_size(path, code));
  if (!in || code) refuse("cannot be read; check the path");
  std::string line;
  std::int64_t step = -1;
  std::istringstream wanted(header_of(engine));
  for (std::string want; std::getline(wanted, want);) {
    bool const whole = std::getline(in, line) && !in.eof(), first = want.starts_with("tessera");
    if (first && line != want) refuse("is not one: its first line is not '" + want + "'");
    if (!whole)
      refuse("is cut short: it ends at byte " + std::to_string(size) + "; use an older one");
    if (want.starts_with("step ")) {
      char const *const from = line.data() + std::min<std::size_t>(5, line.size()),
                        *const to = line.data() + line.size();
      auto const [end, fault] = std::from_chars(from, to, step);
      if (!line.starts_with("step ") || fault != std::errc() || end != to || step < 0)
        refuse("is damaged: it says '" + line.substr(0, 80) + "' for its step; use an older one");
    } else if (line != want) {
      refuse("says '" + line.substr(0, 120) + "' where this trainer has '" + want +
             "': it is of another model, optimizer or type; load it with the one that saved it");
    }
  }
  Bytes const end = Bytes(in.tellg()) + values_of(engine);
  if (size != end)
    refuse((size < end ? "is cut short: it has " : "is damaged: it has ") + std::to_string(size) +
           " bytes of " + std::to_string(end) + "; use an older one");
  return step;
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
  attempt([&] { file.emplace(unfinished).append(detail::header_of(engine)); });
  for (std::string const& p : parameters.paths())
    for (std::string const& kind : detail::kinds_of(engine, p)) {
      std::vector<Real> const values = parameters.read(detail::what_of(engine, kind), p);
      attempt([&] {
        file->append({reinterpret_cast<char const*>(values.data()), values.size() * sizeof(Real)});
      });
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
  std::int64_t step = 0;
  std::optional<std::string> problem;
  try {
    step = detail::read_header(engine, in, path);
  } catch (Error const& e) {
    problem = e.what();
  }
  world.agree(problem);
  Parameters& parameters = engine.parameters();
  std::vector<Real> values;
  for (std::string const& p : parameters.paths())
    for (std::string const& kind : detail::kinds_of(engine, p)) {
      values.resize(std::size_t(parameters.find(p).shape.count()));
      in.read(reinterpret_cast<char*>(values.data()),
              std::streamsize(values.size() * sizeof(Real)));
      if (!in) problem = "checkpoint " + path + " cannot be read at '" + p + "'; use an older one";
      world.agree(problem);
      parameters.write(detail::what_of(engine, kind), p, values);
    }
  engine.resume_at(step);
}

}  // namespace tessera::inline TESSERA_SETTING
