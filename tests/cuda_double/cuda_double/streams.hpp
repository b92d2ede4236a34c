/// Inside the double of the runtime: a stream is a thread, an event a mark that it sets on its way.
#pragma once

#include <cuda_double/api.hpp>

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace cuda_double {

using Work = std::function<void()>;

/// What a stream had been asked when an event was recorded there. Never freed: whoever waits may
/// come late, and a counter of owners would order streams.
struct Mark {
  std::atomic<bool> done{false};
};
Work setting(Mark* mark);
Work waiting(Mark* mark);

/// What streams are asked from the beginning of a capture to its end: a lane of steps each.
class Capture {
 public:
  struct Step {
    enum Kind { work, record, wait } kind;
    Work body = {};
    std::size_t event = 0;  // that it records, or waits for
  };
  using Lanes = std::vector<std::vector<Step>>;

  explicit Capture(cudaStream_t first) { lane_of(first); }
  void add(cudaStream_t stream, Work work);
  /// The event's number.
  std::size_t record(cudaStream_t stream);
  void wait(cudaStream_t stream, std::size_t event);

  void end() { open_ = false; }
  bool open() const { return open_; }
  bool begins_with(cudaStream_t stream) const { return lanes_.front().stream == stream; }
  /// The first stream waits for all that the others do.
  bool joined() const;
  std::vector<cudaStream_t> streams() const;
  Lanes lanes() const;
  std::size_t events() const { return behind_.size(); }

 private:
  using Clock = std::vector<std::size_t>;  // steps of each lane
  struct Lane {
    cudaStream_t stream;
    std::vector<Step> steps;
    Clock behind;          // which its next step is behind
    std::size_t work = 0;  // steps up to its last work
  };
  std::size_t lane_of(cudaStream_t stream);
  void push(std::size_t lane, Step step);

  std::vector<Lane> lanes_;
  std::vector<Clock> behind_;  // of each event
  bool open_ = true;
};

bool known(cudaStream_t stream);
std::unique_ptr<CUstream_st> make_stream();

}  // namespace cuda_double

struct CUevent_st {
  cuda_double::Mark* mark = nullptr;
  std::shared_ptr<cuda_double::Capture> capture;  // in which it was recorded last
  std::size_t number = 0;                         // there
};

struct CUstream_st {
  struct Node {
    cuda_double::Work work;
    std::atomic<Node*> next{nullptr};
  };

  explicit CUstream_st(unsigned seed) : random(seed), thread([this] { serve(); }) {}
  CUstream_st(CUstream_st const&) = delete;
  CUstream_st& operator=(CUstream_st const&) = delete;
  ~CUstream_st() {
    push({});
    thread.join();
    delete tail;
  }

  /// D. Vyukov's queue of many producers.
  void push(cuda_double::Work work) {
    auto* const node = new Node{std::move(work)};
    pushed.fetch_add(1, std::memory_order_relaxed);
    head.exchange(node, std::memory_order_acq_rel)->next.store(node, std::memory_order_release);
  }
  bool idle() const {
    if (done.load(std::memory_order_relaxed) != pushed.load(std::memory_order_relaxed))
      return false;
    return done.load(std::memory_order_acquire) == pushed.load(std::memory_order_relaxed);
  }

  std::shared_ptr<cuda_double::Capture> capturing;

 private:
  void serve();

  Node* tail = new Node;
  std::atomic<Node*> head{tail};
  std::atomic<long> pushed{0}, done{0};
  std::minstd_rand random;
  std::thread thread;
};
