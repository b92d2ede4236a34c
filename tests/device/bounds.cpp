// cuda
// manual
/// What bounds.sh builds with a sanitizer and runs: a byte too far is one of an address space.
///
///   bounds train    steps of a small model, under mpirun
///   bounds inside   kernels, and the host, at the ends of what they were given
///   bounds PROBE    one of them a byte, or more, beyond: the names in main
#include "steps.hpp"

#include <string_view>
#include <utility>

using namespace tessera;

namespace {

struct Move {
  std::uint8_t* to;
  std::uint8_t const* from;
  void operator()() const {
    if (cuda::thread() == 0) *to = *from;
  }
};
/// By way of the block's memory, and of a thread's own.
template <bool Shared>
struct Through {
  std::uint8_t* to;
  int at;
  void operator()() const {
    std::uint8_t own[64];
    std::uint8_t* const of = Shared ? cuda::shared<std::uint8_t, 64, Through>() : own;
    if (cuda::thread() == 0) of[at] = 1, *to = of[at];
  }
};

constexpr int n = 1001;  // not what an allocation is aligned to

}  // namespace

int main(int argc, char** argv) {
  std::string_view const what = argc > 1 ? argv[1] : "";
  if (what == "train") {
    test::train(argc, argv);
    return 0;
  }
  cuda::OwnStream const stream(0);
  cuda::DeviceMemory memory(n, stream.get()), other(n, stream.get());
  cuda::PinnedMemory const pinned(n);
  auto* const a = reinterpret_cast<std::uint8_t*>(memory.get());
  auto* const b = reinterpret_cast<std::uint8_t*>(other.get());
  auto* const host = reinterpret_cast<std::uint8_t*>(pinned.get());
  auto const run = [&](auto const& kernel) {
    cuda::launch<128>(stream.get(), 1, kernel);
    cuda::check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
  };
  std::pair<std::string_view, Move> const moves[]{{"write-behind", {a + n, b}},
                                                  {"read-behind", {a, b + n}},
                                                  {"write-before", {a - 1, b}},
                                                  {"write-far-behind", {a + n + 1000, b}},
                                                  {"pinned", {host + n, b}}};
  for (auto const& [name, move] : moves)
    if (what == name) run(move);
  if (what == "shared") run(Through<true>{a, 64});
  if (what == "stack") run(Through<false>{a, 64});
  if (what == "host") host[n] = 1;
  if (what == "read-freed") {
    other = {};
    run(Move{a, b});
  }
  if (what == "inside") {
    run(Move{a, b + n - 1});
    run(Move{a + n - 1, b});
    run(Move{host + n - 1, host});
    run(Through<true>{a, 63});
    run(Through<false>{a, 63});
    host[n - 1] = host[0];
  }
}
