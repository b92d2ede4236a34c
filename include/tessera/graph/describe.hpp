/// From graphs to the facts that planners need: flat buffers, bytes and flops of every segment.
#pragma once

#include <tessera/graph/model.hpp>
#include <tessera/plan/facts.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Parameters start at multiples of this many elements in their flat buffer.
inline constexpr std::int64_t parameter_alignment = 64;

/// Where a parameter of a segment lives: which of the segment's flats, and from which element on.
struct ParameterPlace {
  int flat = -1;  // in Facts::flats
  int use = -1;   // in SegmentInfo::flats
  std::int64_t offset = 0;
};

/// Offsets of the fields of one micro-batch in its buffer.
struct BatchFields {
  Bytes input = 0, target = 0, loss_scale = 0, noise = 0, bytes = 0;
};
constexpr BatchFields batch_fields(SampleBatch const& b) {
  BatchFields f;
  f.target = f.input + aligned(b.input.bytes(b.samples));
  f.loss_scale = f.target + aligned(b.target.bytes(b.samples));
  f.noise = f.loss_scale + aligned((b.text() ? 1 : b.samples) * Bytes(sizeof(Real)));
  f.bytes = f.noise + aligned(8 * b.samples);
  return f;
}

namespace detail {

/// Does the optimizer step matrices as wholes? They then have flats of their own (S::matrices).
template <class S>
inline constexpr bool matrices_apart = [] {
  if constexpr (requires { S::matrices; })
    return bool(S::matrices);
  else
    return false;
}();

/// A parameter of two dimensions that forward reads in matrix products only, and not as the table
/// of what it reads or tells: one row of that has little to do with the others.
constexpr bool is_matrix(std::span<Node const> graph, ParameterInfo const& p, int parameter) {
  if (p.shape.rank != 2 || !p.tie.empty() || p.frozen || p.running) return false;
  for (Node const& n : graph)
    for (int k = 0; k < operands && n.op && n.part == Part::forward; ++k)
      if (int const from = n.in[std::size_t(k)];
          from >= 0 && graph[std::size_t(from)].parameter == parameter &&
          graph[std::size_t(from)].role == Role::parameter &&
          (!n.op->traits.gemm || n.op->traits.vocabulary == k))
        return false;
  return true;
}

struct Flats {
  std::vector<FlatInfo> flats;
  std::vector<MatrixInfo> matrices;
  std::vector<std::vector<ParameterPlace>> places;  // [segment][parameter]
  std::vector<std::vector<int>> uses;               // [segment]: flats, own ones first
  std::int64_t tied_has = 0, tied_wants = 0;        // two shapes of one tied parameter
};

template <class Model, int I, class S>
constexpr void assign_flats(Flats& f) {
  enum { own, frozen, running, matrices, kinds };
  int flat_of[2][kinds] = {{-1, -1, -1, -1}, {-1, -1, -1, -1}};  // [full][kind]
  int index = -1;
  std::vector<ParameterPlace> places;
  std::vector<int> uses;
  auto const use_of = [&](int flat) {
    for (int u = 0; u < int(uses.size()); ++u)
      if (uses[u] == flat) return u;
    uses.push_back(flat);
    return int(uses.size()) - 1;
  };
  auto const open = [&](FlatInfo const& info) {
    f.flats.push_back(info);
    return int(f.flats.size()) - 1;
  };
  for (ParameterInfo const& p : parameters<Model, I, S>) {
    ++index;
    std::int64_t const n = round_up(p.shape.count(), parameter_alignment);
    if (!p.tie.empty()) {
      int flat = -1;
      for (int i = 0; i < int(f.flats.size()); ++i)
        if (f.flats[i].tied && f.flats[i].name == p.tie) flat = i;
      if (flat < 0)
        flat = open({.name = p.tie,
                     .layers = 1,
                     .elements = n,
                     .trainable = !p.frozen,
                     .tied = true,
                     .full = p.full});
      if (f.flats[flat].elements != n) f.tied_has = n, f.tied_wants = f.flats[flat].elements;
      places.push_back({flat, use_of(flat), 0});
      continue;
    }
    bool matrix = false;
    if constexpr (matrices_apart<S>) matrix = is_matrix(graph<Model, I, S>, p, index);
    int& flat = flat_of[p.full][p.frozen ? frozen : p.running ? running : matrix ? matrices : own];
    if (flat < 0)
      flat = open({.name = field_name<Model, I>,
                   .layers = repeats<Model, I>,
                   .elements = 0,
                   .tensors = 0,
                   .trainable = !p.frozen,
                   .tied = false,
                   .matrices = matrix,
                   .running = p.running && !p.frozen,
                   .full = p.full});
    if (matrix) f.matrices.push_back({flat, f.flats[flat].elements, p.shape[0], p.shape[1]});
    places.push_back({flat, use_of(flat), f.flats[flat].elements});
    f.flats[flat].elements += n;
    ++f.flats[flat].tensors;
  }
  f.places.push_back(places);
  f.uses.push_back(uses);
}

template <class Model, class S>
constexpr Flats all_flats() {
  Flats f;
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (assign_flats<Model, I, S>(f), ...);
  }
  (std::make_integer_sequence<int, segments<Model>>{});
  return f;
}

template <class Model, int I, class S>
struct PlacesOf {
  static constexpr std::vector<ParameterPlace> make() { return all_flats<Model, S>().places[I]; }
};

constexpr void add_fusion(std::vector<FusionInfo>& all, int segment, std::string_view name,
                          Bytes saved) {
  if (saved == 0) return;
  for (FusionInfo& f : all)
    if (f.segment == segment && f.name == name) {
      ++f.ops, f.saved += saved;
      return;
    }
  all.push_back({segment, name, 1, saved});
}

constexpr void add_choice(std::vector<ChoiceInfo>& all, int segment, std::string_view op,
                          std::string_view by) {
  if (by.empty()) return;
  for (ChoiceInfo& c : all)
    if (c.segment == segment && c.op == op && c.by == by) {
      ++c.ops;
      return;
    }
  all.push_back({segment, op, by, 1});
}

template <class Model, int I, class S>
constexpr SegmentInfo describe_segment(Flats const& flats, Facts& facts, int backend) {
  auto const& g = graph<Model, I, S>;
  Nodes const nodes(g.begin(), g.end());
  Lifetimes const l = lay_out(g, I == segments<Model> - 1);
  SegmentInfo s{.name = field_name<Model, I>, .layers = repeats<Model, I>};
  s.kept = l.kept, s.scratch = l.scratch;
  if (I < segments<Model> - 1) s.output = bytes_of(g[std::size_t(forward_nodes(g) - 1)]);
  for (int u = 0; u < int(flats.uses[I].size()); ++u)
    s.flats[std::size_t(u)].flat = flats.uses[I][u];
  auto const use = [&](int parameter_node) -> FlatUse& {
    return s.flats[std::size_t(flats.places[I][g[std::size_t(parameter_node)].parameter].use)];
  };
  for (Node const& n : g) {
    for (int j : n.in)
      if (j >= 0 && g[std::size_t(j)].role == Role::parameter)
        (n.part == Part::forward ? use(j).forward : use(j).backward) = true;
    if (n.grad_of >= 0) use(n.grad_of).gradient = true;
    if (!n.op) continue;
    Signature const signed_ = signature(nodes, n);
    if (!n.skip_in_training)
      (n.part == Part::forward ? s.forward_flops : s.backward_flops) += n.op->flops(signed_);
    facts.workspace = std::max(facts.workspace, n.op->workspace[std::size_t(backend)](signed_));
    add_choice(facts.choices, I, n.op->name, n.op->choice[std::size_t(backend)](signed_));
    if (!n.op->saving.empty()) add_fusion(facts.fusions, I, n.op->saving, n.op->saved(signed_));
  }
  return s;
}

constexpr bool reads(std::span<Node const> g, Node const& n, Field f) {
  for (int j : n.in)
    if (j >= 0 && g[std::size_t(j)].role == Role::data && g[std::size_t(j)].field == f) return true;
  return false;
}

/// Vocabularies of the data and of the ops that read it: the first, and the first that differs.
/// Tokens and their targets are of one vocabulary, inputs and labels have their own.
template <class Model, class S>
constexpr std::array<std::int64_t, 2> vocabularies(Field field = Field::input) {
  constexpr SampleBatch batch = batch_of<S>;
  int const classes = field == Field::input ? batch.input.classes : batch.target.classes;
  std::array<std::int64_t, 2> v{classes, classes};
  auto const look = [&](auto const& g) {
    for (Node const& n : g)
      if (n.op && n.op->traits.vocabulary >= 0 && n.part == Part::forward &&
          (batch.text() || reads(g, n, field))) {
        auto const operand = std::size_t(n.in[std::size_t(n.op->traits.vocabulary)]);
        std::int64_t const size = g[operand].shape[0];
        if (v[0] == 0) v = {size, size};
        if (size != v[0] && v[1] == v[0]) v[1] = size;
      }
  };
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (look(graph<Model, I, S>), ...);
  }
  (std::make_integer_sequence<int, segments<Model>>{});
  return v;
}

/// The last segment's result, and whether it is made with the mean's scale.
struct LossOf {
  Shape shape{};
  bool scaled = false;
};
template <class Model, class S>
constexpr LossOf loss_of() {
  LossOf loss;
  for (Node const& n : graph<Model, segments<Model> - 1, S>) {
    if (n.part != Part::forward) break;
    loss.shape = n.shape;
    loss.scaled |= n.role == Role::data && n.field == Field::loss_scale;
  }
  return loss;
}

template <class Model, class S>
struct ModelIsSound {
  static constexpr std::array<std::int64_t, 2> v = vocabularies<Model, S>(),
                                               t = vocabularies<Model, S>(Field::target);
  static constexpr LossOf loss = loss_of<Model, S>();
  static constexpr std::int64_t losses = batch_of<S>.text() ? 1 : batch_of<S>.samples;
  static constexpr rule::LastSegmentIsLoss<layer_of<Model, segments<Model> - 1>, loss.shape.count(),
                                           losses, loss.scaled && !batch_of<S>.text()>
      last_is_loss{};
  static constexpr rule::VocabulariesAgree<t[0], t[1]> labels_agree{};
  static constexpr std::int64_t has = all_flats<Model, S>().tied_has;
  static constexpr std::int64_t wants = all_flats<Model, S>().tied_wants;
  static constexpr rule::VocabulariesAgree<v[0], v[1]> vocabularies_agree{};
  static constexpr rule::TiedShapesAgree<has, wants> tied_shapes_agree{};
  static constexpr rule::FrozenMatches<unmatched_pattern<Model>(S::frozen)> frozen_matches{};
  static constexpr rule::KeepFloatMatches<unmatched_pattern<Model>(full_of<S>)> full_matches{};
};

}  // namespace detail

/// Where each parameter of segment I lives.
template <class Model, int I, class S>
inline constexpr auto places = freeze<detail::PlacesOf<Model, I, S>>();

/// Number of tokens the model knows; 0 if no op reads tokens.
template <class Model, class S>
inline constexpr std::int64_t vocabulary = detail::vocabularies<Model, S>()[0];

namespace detail {

template <class Model, class S, int Backend>
constexpr Facts make_facts() {
  Flats const flats = all_flats<Model, S>();
  Facts f;
  f.flats = flats.flats;
  f.matrices = flats.matrices;
  f.samples = batch_of<S>;
  f.batch = batch_fields(batch_of<S>).bytes;
  f.workspace = 64_KiB;  // sums of squares need some, whatever the ops do
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (f.segments.push_back(describe_segment<Model, I, S>(flats, f, Backend)), ...);
  }
  (std::make_integer_sequence<int, segments<Model>>{});
  return f;
}

struct FactCounts {
  std::size_t segments = 0, flats = 0, matrices = 0, fusions = 0, choices = 0;
  constexpr bool hold(FactCounts const& o) const {
    return segments >= o.segments && flats >= o.flats && matrices >= o.matrices &&
           fusions >= o.fusions && choices >= o.choices;
  }
};

/// The facts as constants: a program contains no code that derives them.
template <FactCounts Most>
struct ConstantFacts {
  FactCounts count{};
  std::array<SegmentInfo, Most.segments> segments{};
  std::array<FlatInfo, Most.flats> flats{};
  std::array<MatrixInfo, Most.matrices> matrices{};
  std::array<FusionInfo, Most.fusions> fusions{};
  std::array<ChoiceInfo, Most.choices> choices{};
  Bytes workspace = 0, batch = 0;

  /// What Most has no room for is left out.
  constexpr explicit ConstantFacts(Facts const& f)
      : count{f.segments.size(), f.flats.size(), f.matrices.size(), f.fusions.size(),
              f.choices.size()},
        workspace(f.workspace),
        batch(f.batch) {
    auto const copy = [](auto const& from, auto& to) {
      std::copy_n(from.begin(), std::min(from.size(), to.size()), to.begin());
    };
    copy(f.segments, segments), copy(f.flats, flats);
    copy(f.matrices, matrices), copy(f.fusions, fusions);
    copy(f.choices, choices);
  }
};

/// What most models stay within.
template <class Model>
inline constexpr FactCounts usual_counts{
    .segments = segments<Model>, .flats = 16, .matrices = 64, .fusions = 64, .choices = 16};

/// Deriving them takes the compiler a while, so it is done once where that is enough.
template <class Model, class S, int Backend>
inline constexpr ConstantFacts<usual_counts<Model>> usual_facts(make_facts<Model, S, Backend>());
template <class Model, class S, int Backend>
inline constexpr ConstantFacts<usual_facts<Model, S, Backend>.count> large_facts(
    make_facts<Model, S, Backend>());

template <class Model, class S, int Backend>
constexpr auto const& constant_facts() {
  constexpr auto const& usual = usual_facts<Model, S, Backend>;
  if constexpr (usual_counts<Model>.hold(usual.count))
    return usual;
  else
    return large_facts<Model, S, Backend>;
}

}  // namespace detail

/// Backend: whose kernels' workspace counts, by its index among the enabled ones.
template <class Model, class S, int Backend = 0>
constexpr Facts describe() {
  static_assert(sizeof(detail::ModelIsSound<Model, S>) > 0);
  auto const& c = detail::constant_facts<Model, S, Backend>();
  auto const list = [](auto const& all, std::size_t n) {
    return std::vector(all.begin(), all.begin() + n);
  };
  return {.segments = list(c.segments, c.count.segments),
          .flats = list(c.flats, c.count.flats),
          .matrices = list(c.matrices, c.count.matrices),
          .fusions = list(c.fusions, c.count.fusions),
          .choices = list(c.choices, c.count.choices),
          .workspace = c.workspace,
          .batch = c.batch,
          .samples = batch_of<S>};
}

}  // namespace tessera::inline TESSERA_SETTING
