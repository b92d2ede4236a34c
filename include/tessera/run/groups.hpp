/// Parameter groups as intervals of a flat buffer: which decay and rate each element has.
#pragma once

#include <tessera/core/glob.hpp>
#include <tessera/core/random.hpp>
#include <tessera/run/options.hpp>
#include <tessera/run/program.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Interval {
  std::int64_t begin = 0, end = 0;  // elements of one layer of a flat
  double rate = 1, decay = 0;
  std::uint64_t stream = 0;  // of random numbers, named after the first parameter's path
};

/// Intervals of every (flat, layer), ascending; neighbours with equal values are joined, unless
/// tensors are stepped one by one.
class Groups {
 public:
  Groups(std::span<SegmentGraph const> segments, Facts const& facts, Options const& options,
         bool by_tensor = false)
      : by_tensor_(by_tensor) {
    for (FlatInfo const& f : facts.flats) layers_.emplace_back(std::size_t(f.layers));
    std::vector<char> used(options.groups.size(), 0);
    for (SegmentGraph const& s : segments)
      for (std::size_t p = 0; p < s.parameters.size(); ++p) {
        int const flat = s.places[p].flat;
        if (!facts.flats[std::size_t(flat)].trainable) continue;
        for (int layer = 0; layer < s.layers; ++layer)
          add(s.parameters[p], s.places[p], layer, facts, options, used);
      }
    for (std::size_t g = 0; g < used.size(); ++g)
      if (!used[g])
        throw Error("the group pattern '" + options.groups[g].pattern +
                        "' matches no trained parameter; patterns are over paths such as "
                        "blocks.0.mlp.up.weight, with * for any characters",
                    true);
  }

  std::vector<Interval> const& of(int flat, int layer) const {
    return layers_[std::size_t(flat)][std::size_t(layer)];
  }

 private:
  void add(ParameterInfo const& p, ParameterPlace const& place, int layer, Facts const& facts,
           Options const& options, std::vector<char>& used) {
    auto& list = layers_[std::size_t(place.flat)]
                        [std::size_t(flat_layer(facts.flats[std::size_t(place.flat)], layer))];
    if (!list.empty() && list.back().begin >= place.offset) return;  // tied: its first path counts
    std::int64_t const end = place.offset + round_up(p.shape.count(), parameter_alignment);
    std::string const path = numbered(p.path.view(), layer);
    Interval i{place.offset, end, 1, p.shape.rank > 1 ? options.weight_decay : 0, stream_of(path)};
    for (std::size_t g = 0; g < options.groups.size() && !p.running; ++g)
      if (Group const& group = options.groups[g]; matches(group.pattern, path)) {
        used[g] = 1;
        i.rate = group.rate;
        if (group.weight_decay) i.decay = *group.weight_decay;
      }
    bool const equal = !list.empty() && list.back().rate == i.rate && list.back().decay == i.decay;
    if (equal && !by_tensor_)
      list.back().end = i.end;
    else
      list.push_back(i);
  }

  bool by_tensor_;
  std::vector<std::vector<std::vector<Interval>>> layers_;
};

}  // namespace tessera::inline TESSERA_SETTING
