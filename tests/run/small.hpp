/// A model of a few thousand parameters and a text for it, for tests that train.
#pragma once

#include <tessera/tessera.hpp>

#include "ranks.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tessera::test {

using Small = Gpt2<2, 32, 2, 17, 8>;

/// Counts through the vocabulary with a step that changes from sample to sample.
struct Counting {
  std::int64_t many = 12;
  std::int64_t samples(int) const { return many; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t i = 0; i < in.size(); ++i) {
      in[i] = std::int32_t((index + std::int64_t(i) * (1 + index % 3)) % 17);
      out[i] = std::int32_t((in[i] + 1 + index % 3) % 17);
    }
  }
};

template <class A, class B>
bool same_bits(A const& a, B const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
}

/// What f throws, as text; every rank calls it.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (Error const& e) {
    return e.what();
  }
  return "nothing was refused";
}
inline bool contains(std::string const& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}
inline bool is_one_sentence(std::string const& text) {
  return text.starts_with("tessera: ") && text.find('\n') == std::string::npos && text.size() < 400;
}

/// A folder of this run, of one name on all ranks and gone with it.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/tessera-test-XXXXXX";
    if (world().root() && !::mkdtemp(name)) throw Error("no folder in /tmp");
    MPI_Bcast(name, sizeof name, MPI_CHAR, 0, world().comm());
    at_ = name;
  }
  ~Folder() {
    MPI_Barrier(world().comm());
    std::error_code code;
    if (world().root()) std::filesystem::remove_all(at_, code);
  }
  Folder(Folder const&) = delete;
  std::string operator/(std::string const& name) const { return at_ + "/" + name; }

 private:
  std::string at_;
};

inline std::string bytes_of_file(std::string const& path) {
  std::stringstream s;
  s << std::ifstream(path, std::ios::binary).rdbuf();
  return s.str();
}
/// Rank 0 writes, the others see it.
inline void put_file(std::string const& path, std::string_view bytes) {
  if (world().root()) std::ofstream(path, std::ios::binary) << bytes;
  MPI_Barrier(world().comm());
}

}  // namespace tessera::test
