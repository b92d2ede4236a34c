/// A block's threads: fibers of one host thread. Each runs as far as it can before the next one
/// does. The order turns around at every barrier, and every other block begins with the last, so
/// that a missing barrier shows whichever way threads look. In two of four blocks a warp passes its
/// own barriers before the next warp starts, which shows what lacks a block's; in the others warps
/// take turns, which shows what they must not share.
#include <cuda_double/api.hpp>
#include <cuda_double/sanitizer.hpp>
#include <cuda_double/threads.hpp>

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace {

constexpr std::size_t stack_bytes = 128 << 10;
constexpr int warp = 32;

enum class State : std::uint8_t { runnable, at_barrier, at_warp_barrier, done };

struct Fiber {
  std::unique_ptr<char[]> stack{new char[stack_bytes]};
  bool made = false;  // has a context that waits for its next body
  jmp_buf at{};
  State state = State::done;
  cuda_double::FiberName name;
};

class Scheduler {
 public:
  void run(unsigned blocks, int threads, std::function<void()> const& body) {
    body_ = &body, blocks_ = blocks;
    while (int(fibers_.size()) < threads) fibers_.push_back(std::make_unique<Fiber>());
    for (block_ = 0; block_ < blocks; ++block_) {
      for (auto& [key, memory] : shared_) std::fill(memory.begin(), memory.end(), char(0xff));
      for (int t = 0; t < threads; ++t) fibers_[std::size_t(t)]->state = State::runnable;
      bool forward = run_++ % 2 == 0;
      while (pass(threads, forward)) forward = !forward;
    }
  }

  /// After a jump out of a body, or an end of its block in the middle.
  void forget() {
    if (inside()) {
      jumps_.returns(fibers_[std::size_t(thread_)]->name);
      jumps_.is_home();
    }
    fibers_.clear();
  }
  bool inside() const { return jumps_.away(); }

  int thread() const { return thread_; }
  unsigned block() const { return block_; }
  unsigned blocks() const { return blocks_; }
  void wait(State at) {
    Fiber& me = *fibers_[std::size_t(thread_)];
    me.state = at;
    leave(me);
  }
  void* shared(void const* key, std::size_t bytes) {
    std::vector<char>& memory = shared_[key];
    if (memory.size() < bytes) memory.assign(bytes, char(0xff));
    return memory.data();
  }

 private:
  static void entry();

  /// Every thread to the block's next barrier, or its end. False: the block has ended.
  bool pass(int threads, bool forward) {
    bool const turns = run_ / 2 % 2 == 0;
    int const warps = (threads + warp - 1) / warp;
    bool going = true;
    for (bool ahead = forward; going; ahead = !ahead) {
      going = false;
      for (int i = 0; i < warps; ++i) {
        int const from = (forward ? i : warps - 1 - i) * warp, to = std::min(threads, from + warp);
        bool met = advance(from, to, ahead);
        for (bool turned = !ahead; met && !turns; turned = !turned) met = advance(from, to, turned);
        going |= met;
      }
    }
    if (count(0, threads, State::done) == threads) return false;
    if (release(0, threads, State::at_barrier)) return true;
    throw cuda_double::Fault{cudaErrorLaunchFailure,
                             "threads of a block do not meet at one barrier"};
  }
  /// A warp's threads to their next barriers. True: all of them met at the warp's.
  bool advance(int from, int to, bool forward) {
    for (int i = 0; i < to - from; ++i) {
      thread_ = forward ? from + i : to - 1 - i;
      Fiber& f = *fibers_[std::size_t(thread_)];
      if (f.state == State::runnable) enter(f);
    }
    return release(from, to, State::at_warp_barrier);
  }
  int count(int from, int to, State state) const {
    int n = 0;
    for (int t = from; t < to; ++t) n += fibers_[std::size_t(t)]->state == state;
    return n;
  }
  /// If all wait there, they go on.
  bool release(int from, int to, State barrier) {
    if (count(from, to, barrier) < to - from) return false;
    for (int t = from; t < to; ++t) fibers_[std::size_t(t)]->state = State::runnable;
    return true;
  }

  // A context is made once, and then left and entered by jumps: they cost no system call.
  void enter(Fiber& f) {
    jumps_.leaves(f.name, f.stack.get(), stack_bytes);
    if (_setjmp(here_)) return jumps_.is_home();
    if (f.made) _longjmp(f.at, 1);
    f.made = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = f.stack.get();
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
    setcontext(&context);
  }
  void leave(Fiber& f) {
    jumps_.returns(f.name);
    if (_setjmp(f.at)) return jumps_.arrives(f.name);
    _longjmp(here_, 1);
  }

  std::function<void()> const* body_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::map<void const*, std::vector<char>> shared_;
  jmp_buf here_{};
  cuda_double::Jumps jumps_;
  int thread_ = 0;
  unsigned run_ = 0;  // blocks so far
  unsigned block_ = 0, blocks_ = 1;
};

thread_local Scheduler scheduler;

void Scheduler::entry() {
  scheduler.jumps_.arrives(scheduler.fibers_[std::size_t(scheduler.thread_)]->name);
  for (;;) {
    (*scheduler.body_)();
    scheduler.wait(State::done);
  }
}

}  // namespace

namespace cuda_double {

int thread() {
  return scheduler.thread();
}
unsigned block() {
  return scheduler.block();
}
unsigned blocks() {
  return scheduler.blocks();
}
void barrier() {
  scheduler.wait(State::at_barrier);
}
void warp_barrier() {
  scheduler.wait(State::at_warp_barrier);
}
void* shared_memory(void const* key, std::size_t bytes) {
  return scheduler.shared(key, bytes);
}

bool in_kernel() {
  return scheduler.inside();
}
void forget_threads() {
  scheduler.forget();
}

void run_blocks(unsigned blocks, int threads, std::function<void()> const& body) {
  scheduler.run(blocks, threads, body);
}

}  // namespace cuda_double
