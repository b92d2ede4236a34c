/// Save and resume: one file with every whole tensor by path, so any layout reads what another wrote.
///
///   tessera checkpoint 1\n
///   step <steps>\n  optimizer <name>\n  real <bytes>\n
///   tensor <path> <what> <elements> <offset in bytes from the end of the header>\n ...
///   end\n
///   values, little-endian, in the order of the index
#pragma once

#include <tessera/run/engine.hpp>
#include <tessera/run/output.hpp>

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
  std::ostringstream header;
  header << "tessera checkpoint 1\nstep " << engine.steps() << "\noptimizer "
         << engine.optimizer().name << "\nreal " << sizeof(Real) << "\n";
  Bytes offset = 0;
  for (std::string const& p : parameters.paths())
    for (std::string const& kind : detail::kinds_of(engine, p)) {
      std::int64_t const n = parameters.find(p).shape.count();
      header << "tensor " << p << " " << kind << " " << n << " " << offset << "\n";
      offset += n * Bytes(sizeof(Real));
    }
  header << "end\n";

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
  attempt([&] { file.emplace(unfinished).append(header.str()); });
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

/// Collective. Refuses a file of another model, optimizer or type, and one that is cut short.
inline void load_checkpoint(Engine& engine, std::string const& path) {
  auto const refuse = [&](std::string const& why) {
    throw Error("checkpoint " + path + " " + why, true);
  };
  std::ifstream in(path, std::ios::binary);
  if (!in) refuse("cannot be read; check the path");
  struct Saved {
    std::string path, kind;
    std::int64_t elements = 0;
    Bytes offset = 0;
  };
  std::vector<Saved> tensors;
  std::int64_t step = 0;
  std::string line;
  if (!std::getline(in, line) || line != "tessera checkpoint 1")
    refuse("is not one: its first line is not 'tessera checkpoint 1'");
  while (std::getline(in, line) && line != "end") {
    std::istringstream words(line);
    std::string key, value;
    words >> key;
    if (key == "step") {
      words >> step;
    } else if (key == "tensor") {
      Saved t;
      words >> t.path >> t.kind >> t.elements >> t.offset;
      tensors.push_back(t);
    } else if (words >> value; key == "optimizer" && value != engine.optimizer().name) {
      refuse("has the states of " + value + ", this trainer uses " +
             std::string(engine.optimizer().name));
    } else if (key == "real" && value != std::to_string(sizeof(Real))) {
      refuse("holds numbers of " + value + " bytes, this program " + std::to_string(sizeof(Real)));
    }
  }
  Bytes const start = in ? Bytes(in.tellg()) : 0;
  in.seekg(0, std::ios::end);
  Bytes const size = Bytes(in.tellg());
  Bytes const end = tensors.empty() ? start
                                    : start + tensors.back().offset +
                                          tensors.back().elements * Bytes(sizeof(Real));
  if (line != "end" || size != end)
    refuse("is cut short: it has " + std::to_string(size) + " bytes of " + std::to_string(end) +
           "; use an older one");

  Parameters& parameters = engine.parameters();
  std::size_t expected = 0;
  for (std::string const& p : parameters.paths()) expected += detail::kinds_of(engine, p).size();
  if (tensors.size() != expected)
    refuse("holds " + std::to_string(tensors.size()) + " tensors, this model has " +
           std::to_string(expected) + "; it is of another model");
  std::vector<Real> values;
  for (Saved const& t : tensors) {
    if (t.elements != parameters.find(t.path).shape.count())
      refuse("has " + std::to_string(t.elements) + " elements for '" + t.path + "', this model " +
             std::to_string(parameters.find(t.path).shape.count()));
    values.resize(std::size_t(t.elements));
    in.seekg(start + t.offset);
    in.read(reinterpret_cast<char*>(values.data()), t.elements * Bytes(sizeof(Real)));
    if (!in) refuse("cannot be read at '" + t.path + "'; use an older one");
    parameters.write(detail::what_of(engine, t.kind), t.path, values);
  }
  engine.resume_at(step);
}

}  // namespace tessera::inline TESSERA_SETTING
