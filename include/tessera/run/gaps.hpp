/// Elements of flat buffers that no parameter owns: padding. Gradient slots hold there what other
/// flats left, and sums over whole parts must find zeros.
#pragma once

#include <tessera/run/memory.hpp>
#include <tessera/run/program.hpp>

#include <vector>

namespace tessera::inline TESSERA_SETTING {

class Gaps {
 public:
  Gaps(Plan const& p, std::span<SegmentGraph const> segments)
      : plan_(p), gaps_(std::size_t(p.flats())) {
    std::vector<std::int64_t> end(std::size_t(p.flats()), 0);
    auto const close = [&](int flat, std::int64_t from, std::int64_t to) {
      if (from < to) gaps_[std::size_t(flat)].push_back({from, to});
    };
    for (SegmentGraph const& s : segments)
      for (std::size_t k = 0; k < s.parameters.size(); ++k) {
        int const flat = s.places[k].flat;
        std::int64_t& last = end[std::size_t(flat)];
        if (s.places[k].offset < last) continue;  // a tied one, seen before
        close(flat, last, s.places[k].offset);
        last = s.places[k].offset + s.parameters[k].shape.count();
      }
    for (int f = 0; f < p.flats(); ++f) close(f, end[std::size_t(f)], p.whole_elements(f));
  }

  /// In the gradients that this turn's backward fills.
  void clear(Memory& memory, Instruction const& in) const {
    for (FlatUse const& u : plan_.facts.segments[std::size_t(in.segment)].flats)
      if (u.flat >= 0 && u.gradient)
        for (Gap const& g : gaps_[std::size_t(u.flat)])
          memory.device().clear(memory.gradient(in, u.flat) + g.begin, g.end - g.begin);
  }

 private:
  struct Gap {
    std::int64_t begin = 0, end = 0;
  };

  Plan const& plan_;
  std::vector<std::vector<Gap>> gaps_;  // by flat
};

}  // namespace tessera::inline TESSERA_SETTING
