/// Graphs for writing text: every segment forward only, and the last one's `logits` instead of its
/// loss, for one position.
#pragma once

#include <tessera/graph/describe.hpp>

namespace tessera::inline TESSERA_SETTING {

/// One sequence of the model's length.
template <int Tokens, class Training>
struct GenerateSettings {
  using training = Training;  // places of parameters are those of the trainer
  static constexpr int sequences = 1, tokens = Tokens;
  static constexpr auto frozen = Training::frozen;
  static constexpr DType low = low_of<Training>;
  static constexpr auto full = full_of<Training>;
};

namespace detail {

template <class Model, int I, class S>
struct GenerateGraph {
  static constexpr bool head = I == segments<Model> - 1;
  static constexpr Nodes make() {
    Tape t;
    t.batch = batch_of<S>;
    for (ParameterInfo const& p : parameter_table<Model, I, S>()) t.full.push_back(p.full);
    if constexpr (head) {
      layer_of<Model, I> layer{};
      std::vector<ParameterInfo> table;
      number(layer, {}, table);
      t.node_of_parameter.assign(table.size(), -1);
      Shape const x = segment_input<Model, I, S>().with(1, 1);
      (void)layer.logits(Value{&t, t.push({.role = Role::input, .shape = x})});
    } else {
      trace<layer_of<Model, I>>(t, segment_input<Model, I, S>(), I == 0);
    }
    lower<S>(t);
    reuse_buffers(t.nodes, false);
    return t.nodes;
  }
};
template <class Model, int I, class S>
struct GenerateSlots {
  static constexpr std::vector<Slot> make() {
    return lay_out(GenerateGraph<Model, I, S>::make(), false).slots;
  }
};
template <class Model, class S>
constexpr Bytes generate_scratch() {
  Bytes most = 0;
  [&]<int... I>(std::integer_sequence<int, I...>) {
    ((most = std::max(most, lay_out(GenerateGraph<Model, I, S>::make(), false).scratch)), ...);
  }
  (std::make_integer_sequence<int, segments<Model>>{});
  return most;
}

}  // namespace detail

template <class Model, int I, class S>
inline constexpr auto generate_graph = freeze<detail::GenerateGraph<Model, I, S>>();
template <class Model, int I, class S>
inline constexpr auto generate_slots = freeze<detail::GenerateSlots<Model, I, S>>();
/// Bytes that the largest of these graphs needs at a time.
template <class Model, class S>
inline constexpr Bytes generate_scratch = detail::generate_scratch<Model, S>();

}  // namespace tessera::inline TESSERA_SETTING
