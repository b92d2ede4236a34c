/// A rank's streams on a GPU, ordered by events exactly where the plan's rows wait.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/plan/row.hpp>

#include <array>

namespace tessera::inline TESSERA_SETTING {

namespace cuda {

/// Waiting for it orders streams; it measures nothing.
class Event {
 public:
  Event() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  Event(Event const&) = delete;
  Event& operator=(Event const&) = delete;
  ~Event() { cudaEventDestroy(event_); }

  void record(cudaStream_t on) { check(cudaEventRecord(event_, on), "cudaEventRecord"); }
  void hold(cudaStream_t stream) {
    check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Never waits for the legacy default stream.
class OwnStream {
 public:
  explicit OwnStream(int priority) {
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority),
          "cudaStreamCreateWithPriority");
  }
  OwnStream(OwnStream const&) = delete;
  OwnStream& operator=(OwnStream const&) = delete;
  ~OwnStream() { cudaStreamDestroy(stream_); }

  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace cuda

/// The happens-before of plan/watch.hpp, made of events: a turn's beginning is marked on a stream
/// only if something was issued there since the last mark.
class CudaStreams {
 public:
  static_assert(streams == 3);
  // What others wait for goes first where both could run.
  CudaStreams() : streams_{cuda::OwnStream(0), cuda::OwnStream(-1), cuda::OwnStream(-1)} {}

  cudaStream_t of(Stream s) const { return streams_[std::size_t(s)].get(); }
  cudaStream_t current() const { return of(current_); }

  /// A step begins: every stream behind every other one.
  void start() {
    for (std::size_t x = 0; x < streams; ++x) joined_[x].record(streams_[x].get());
    for (std::size_t s = 0; s < streams; ++s)
      for (std::size_t x = 0; x < streams; ++x)
        if (x != s) joined_[x].hold(streams_[s].get());
    for (Marks& m : marks_) m = {};
    turn_ = 0;
    current_ = Stream::compute;
  }

  void enter(int turn) {
    if (turn == turn_) return;
    turn_ = turn;
    for (std::size_t x = 0; x < streams; ++x) {
      Marks& m = marks_[x];
      m.before_turn = m.at_turn;
      m.at_turn = mark(x);
    }
  }

  /// What follows is on stream s, behind what `waits` names of the others.
  void issue(Stream s, Waits const& waits) {
    current_ = s;
    for (std::size_t x = 0; x < streams; ++x) {
      if (x == std::size_t(s) || waits[x] == Wait::none) continue;
      int const event = waits[x] == Wait::all           ? mark(x)
                        : waits[x] == Wait::before_turn ? marks_[x].at_turn
                                                        : marks_[x].before_turn;
      if (event >= 0) events_[x][std::size_t(event)].hold(current());
    }
    marks_[std::size_t(s)].fresh = false;
  }

 private:
  /// Events of one stream: numbers in events_, -1 for its state at the step's start.
  struct Marks {
    int newest = -1, at_turn = -1, before_turn = -1;
    bool fresh = true;  // nothing was issued since the newest
  };

  /// The stream as it is now.
  int mark(std::size_t x) {
    Marks& m = marks_[x];
    if (m.fresh) return m.newest;
    int next = 0;
    while (next == m.newest || next == m.at_turn || next == m.before_turn) ++next;
    events_[x][std::size_t(next)].record(streams_[x].get());
    m.newest = next, m.fresh = true;
    return next;
  }

  std::array<cuda::OwnStream, streams> streams_;
  std::array<cuda::Event, streams> joined_;
  std::array<std::array<cuda::Event, 4>, streams> events_;
  std::array<Marks, streams> marks_{};
  int turn_ = 0;
  Stream current_ = Stream::compute;
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
