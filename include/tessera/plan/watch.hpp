/// Follows a rank through a plan and says what an instruction still has to wait for.
///
/// All ranks run the same rows (SPMD), so between two barriers any instruction of one rank may meet
/// any of another: that is a race if they reach the same bytes and one writes. Inside a rank, rows
/// of one stream are in order; across streams only waits order them.
#pragma once

#include <tessera/plan/access.hpp>

namespace tessera::inline TESSERA_SETTING {

class Hazards {
 public:
  constexpr explicit Hazards(Plan const& p) : buffers_(p), state_(std::size_t(buffers_.count())) {}

  /// A step starts with idle streams: the one before has ended.
  constexpr void start() {
    turn_ = 0;
    for (Clock& c : now_) c = issued_;
    at_turn_ = before_turn_ = now_;
  }

  constexpr void enter(int turn) {
    if (turn == turn_) return;
    turn_ = turn;
    before_turn_ = at_turn_;
    at_turn_ = now_;
  }

  /// Looks at an instruction; what follows is about it.
  constexpr void look(Plan const& p, Instruction const& in) {
    barrier_next_ = in.op == Do::barrier;
    count_ = 0;
    met_ = {};
    wanted_ = barrier_next_ ? touched_ : Clock{};
    shares_ = false;
    each_access(p, buffers_, in, [&](Access const& a) {
      accesses_[std::size_t(count_++)] = a;
      State const& s = state_[std::size_t(a.buffer)];
      if (s.write > wanted_[std::size_t(s.writer)]) wanted_[std::size_t(s.writer)] = s.write;
      if (a.writes)
        for (std::size_t x = 0; x < streams; ++x)
          if (s.reads[x] > wanted_[x]) wanted_[x] = s.reads[x];
      if (!buffers_.is_shared(a.buffer)) return;
      shares_ = true;
      meet_peers(a);
    });
  }

  /// Behind a plan's end any other may start: it reads weights and gathers into slots. An update of
  /// matrices is met by the same plan's next step only, which is followed, too.
  constexpr void look_at_end() {
    met_ = {};
    for (int b = 0; b < buffers_.count(); ++b) {
      bool const weights = b < buffers_.gradients_begin();
      if (!buffers_.is_shared(b) || !buffers_.by_domain(b) || b == buffers_.update()) continue;
      meet_peers({b, weights ? Reach::whole : Reach::own, !weights});
    }
  }

  /// Is a peer's access of this epoch in the way?
  constexpr bool races() const { return met_[0]; }
  /// Would one be, if the newest barrier were not there?
  constexpr bool needs_barrier() const { return met_[1]; }

  /// The weakest waits that `waits` lacks, by stream.
  constexpr Waits missing(Stream stream, Waits waits) const {
    Waits out{};
    for (std::size_t x = 0; x < streams; ++x) {
      int const wanted = x == 0 && shares_ && barrier_ > wanted_[0] ? barrier_ : wanted_[x];
      if (now_[std::size_t(stream)][x] >= wanted || clock(stream, waits)[x] >= wanted) continue;
      for (Wait w : {Wait::before_last_turn, Wait::before_turn, Wait::all}) {
        out[x] = w;
        if (snapshot(w)[x][x] >= wanted) break;
      }
      if (waits[x] < out[x]) waits[x] = out[x];
    }
    return out;
  }

  constexpr void issue(Stream stream, Waits const& waits) {
    auto const own = std::size_t(stream);
    Clock c = clock(stream, waits);
    c[own] = ++issued_[own];
    now_[own] = c;
    if (barrier_next_) {
      ++epoch_;
      barrier_ = issued_[own];
      return;
    }
    if (shares_) touched_[own] = issued_[own];
    for (int i = 0; i < count_; ++i) {
      Access const& a = accesses_[std::size_t(i)];
      State& s = state_[std::size_t(a.buffer)];
      if (a.writes)
        s.writer = int(own), s.write = issued_[own];
      else
        s.reads[own] = issued_[own];
      if (s.epoch < epoch_) {
        s.reached[1] = s.epoch + 1 == epoch_ ? s.reached[0] : Reached{};
        s.reached[0] = Reached{};
        s.epoch = epoch_;
      }
      (a.writes ? s.reached[0].written : s.reached[0].read) |= 1u << int(a.reach);
    }
  }

 private:
  using Clock = std::array<int, streams>;  // by stream: its newest instruction that is known done
  using Clocks = std::array<Clock, streams>;

  struct Reached {
    unsigned read = 0, written = 0;  // bit r: somebody reached r
  };
  struct State {
    int epoch = 0;
    std::array<Reached, 2> reached{};  // in that epoch, in the one before
    int writer = 0, write = 0;         // stream and number of the newest write
    Clock reads{};                     // by stream: number of the newest read
  };

  constexpr void meet_peers(Access const& a) {
    State const& s = state_[std::size_t(a.buffer)];
    int const ago = epoch_ - s.epoch;
    if (ago > 1) return;
    bool const by_domain = buffers_.by_domain(a.buffer);
    if (hit(s.reached[0], a, by_domain)) met_[std::size_t(ago)] = true;
    if (ago == 0 && hit(s.reached[1], a, by_domain)) met_[1] = true;
  }
  static constexpr bool hit(Reached const& by, Access const& a, bool by_domain) {
    unsigned const met = by.written | (a.writes ? by.read : 0u);
    for (int r = 0; met >> r; ++r)
      if (((met >> r) & 1u) && meet(by_domain, Reach(r), a.reach)) return true;
    return false;
  }
  constexpr Clocks const& snapshot(Wait w) const {
    if (w == Wait::all) return now_;
    return w == Wait::before_turn ? at_turn_ : before_turn_;
  }
  constexpr Clock clock(Stream stream, Waits const& waits) const {
    Clock c = now_[std::size_t(stream)];
    for (std::size_t x = 0; x < streams; ++x) {
      if (waits[x] == Wait::none) continue;
      Clock const& other = snapshot(waits[x])[x];
      for (std::size_t y = 0; y < streams; ++y)
        if (other[y] > c[y]) c[y] = other[y];
    }
    return c;
  }

  Buffers buffers_;
  std::vector<State> state_;

  // Of the instruction last looked at.
  std::array<Access, 2 * flats_of_segment> accesses_{};
  int count_ = 0;
  bool barrier_next_ = false, shares_ = false;
  std::array<bool, 2> met_{};  // peers' accesses of this epoch, of the one before
  Clock wanted_{};             // what must be done before, by stream

  int epoch_ = 0;
  int turn_ = 0;
  int barrier_ = 0;  // number of the newest barrier on the compute stream
  Clock issued_{};   // by stream: instructions so far
  Clock touched_{};  // by stream: the newest that touched shared memory
  Clocks now_{}, at_turn_{}, before_turn_{};
};

}  // namespace tessera::inline TESSERA_SETTING
