/// Trainer<Model, Policies...>: the compiler makes the plan for exactly this model and layout, and
/// refuses what cannot be; the engine runs it.
#pragma once

#include <tessera/device/enabled.hpp>
#include <tessera/optimizer/adamw.hpp>
#include <tessera/optimizer/newton_schulz.hpp>
#include <tessera/plan/verify.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/frozen.hpp>
#include <tessera/policy/keep_float.hpp>
#include <tessera/policy/on.hpp>
#include <tessera/run/checkpoint.hpp>
#include <tessera/run/engine.hpp>
#include <tessera/run/generator.hpp>

namespace tessera::inline TESSERA_SETTING {

namespace rule {
template <class Source, class Input, class Target, bool Fits>
struct SourceFits {
  static_assert(
      Fits,
      "trainer.step(data), trainer.evaluate(data): the source does not write what the "
      "model reads; it needs samples() const and sample(index, Input::span, Target::span) "
      "const: spans of Real for Floats and of std::int32_t for Labels, as long as a "
      "sample, or two std::span<std::int32_t> for tokens");
};
template <class Model, bool Text>
struct GeneratesText {
  static_assert(Text,
                "trainer.generate(prompt, count): only a model of Batch<Sequences, Tokens> writes "
                "text; train it with Batch");
};
}  // namespace rule

namespace detail {

template <class... P>
struct OptimizerOf;
template <class P, class... Rest>
struct OptimizerOf<P, Rest...> {
  using type =
      typename std::conditional_t<Optimizer<P>, std::type_identity<P>, OptimizerOf<Rest...>>::type;
};
template <>
struct OptimizerOf<> {
  using type = AdamW;  // fold() has refused already: one mistake, one error
};

/// Batch or Samples.
template <class... P>
struct BatchOf;
template <class P, class... Rest>
struct BatchOf<P, Rest...> {
  using type = typename std::conditional_t<P::name == std::string_view("Batch"),
                                           std::type_identity<P>, BatchOf<Rest...>>::type;
};
template <>
struct BatchOf<> {
  using type = Batch<1, 1>;  // fold() has refused already
};

/// Of the policies only what the trace depends on: trainers that differ in the rest share graphs.
/// ByPath: Frozen and KeepFloat.
template <class BatchPolicy, bool OneByOne, DType Low, bool Matrices, class... ByPath>
struct TraceSettings {
  static constexpr SampleBatch batch = OneByOne ? BatchPolicy::batch.of(1) : BatchPolicy::batch;
  static constexpr DType low = Low;
  static constexpr bool matrices = Matrices;
  static constexpr Layout named = [] {
    Layout layout;
    (ByPath::set(layout), ...);
    return layout;
  }();
  static constexpr std::span<std::string_view const> frozen = named.frozen_patterns();
  static constexpr std::span<std::string_view const> full = named.full_patterns();
};

template <class P>
inline constexpr bool is_by_path = false;
template <Name Pattern>
inline constexpr bool is_by_path<Frozen<Pattern>> = true;
template <Name Pattern>
inline constexpr bool is_by_path<KeepFloat<Pattern>> = true;

template <class Settings, class... P>
struct AddByPath {
  using type = Settings;
};
template <class B, bool O, DType L, bool M, class... F, class P, class... Rest>
struct AddByPath<TraceSettings<B, O, L, M, F...>, P, Rest...>
    : AddByPath<std::conditional_t<is_by_path<P>, TraceSettings<B, O, L, M, F..., P>,
                                   TraceSettings<B, O, L, M, F...>>,
                Rest...> {};

template <class O>
constexpr StepValues step_defaults() {
  if constexpr (requires { O::defaults; })
    return O::defaults;
  else
    return {};
}
template <class O>
constexpr std::span<std::string_view const> matrix_states() {
  if constexpr (requires { O::matrix_state_names; })
    return O::matrix_state_names;
  else
    return {};
}
template <class O>
constexpr auto update_scale() -> double (*)(std::int64_t, std::int64_t) {
  if constexpr (requires { &O::update_scale; })
    return &O::update_scale;
  else
    return nullptr;
}
template <class O, class B>
constexpr auto orthogonalizer() -> std::unique_ptr<Orthogonalizer> (*)(std::int64_t, std::int64_t) {
  if constexpr (across<O>() == Across::matrices)
    return [](std::int64_t rows, std::int64_t cols) -> std::unique_ptr<Orthogonalizer> {
      return std::make_unique<NewtonSchulz<B>>(rows, cols);
    };
  else
    return nullptr;
}
template <class O, class B, class Range>
constexpr auto step_prepare() -> void (*)(void*, StepRange const&, StepValues const&) {
  if constexpr (prepares<O>())
    return [](void* queue, StepRange const& r, StepValues const& v) {
      O::prepare(B::team::on(queue), Range{r}, v);
    };
  else
    return nullptr;
}
template <class O, class B, class Range = StepRange>
inline constexpr OptimizerTable optimizer_table{
    O::name,
    O::state_names,
    [](void* queue, StepRange const& r, StepValues const& v) {
      O::step(B::team::on(queue), Range{r}, v);
    },
    step_defaults<O>(),
    step_prepare<O, B, Range>(),
    matrix_states<O>(),
    update_scale<O>(),
    orthogonalizer<O, B>()};

template <class... P>
struct BackendOf {
  using type = Cpu;
};
template <class P, class... Rest>
struct BackendOf<P, Rest...> : BackendOf<Rest...> {};
template <class B, class... Rest>
struct BackendOf<On<B>, Rest...> {
  using type = B;
};
/// The policies' layout, with the room that the backend's products take beside matrices.
template <class B, class... P>
constexpr Layout layout_on() {
  Layout layout = fold<P...>();
  if (layout.across == Across::matrices) layout.product_workspace = B::gemm_workspace;
  return layout;
}
template <class B>
std::unique_ptr<Device> make_device(World const& world, Plan const& plan) {
  return std::make_unique<typename DeviceOf<B>::type>(world, plan);
}

}  // namespace detail

template <class Model, class... Policies>
class Trainer {
 public:
  using Optimizer = typename detail::OptimizerOf<Policies...>::type;
  using Backend = typename detail::BackendOf<Policies...>::type;
  using Device = typename DeviceOf<Backend>::type;
  static constexpr Layout layout = detail::layout_on<Backend, Policies...>();
  using BatchPolicy = typename detail::BatchOf<Policies...>::type;
  using Settings =
      typename detail::AddByPath<detail::TraceSettings<BatchPolicy, (layout.strict > 0), layout.low,
                                                       layout.across == Across::matrices>,
                                 Policies...>::type;

  using Range = StoredRange<layout.low, layout.stochastic>;

  static constexpr Facts facts() { return describe<Model, Settings, backend_index<Backend>>(); }
  /// What every rank of a mesh does in a step; a value at compile time and at run time.
  static constexpr Plan plan(Mesh mesh) { return make_plan(facts(), layout, mesh); }

  explicit Trainer(World& world, Options options = {})
      : engine_(world, start(world), detail::make_device<Backend>,
                segment_graphs<Model, Settings, backend_index<Backend>>,
                detail::optimizer_table<Optimizer, Backend, Range>,
                int(vocabulary<Model, Settings>), std::move(options)) {
    for (std::string const& said : engine_.remarks())
      if (world.root()) std::fprintf(stderr, "tessera: %s\n", said.c_str());
  }

  /// One optimizer step on the next global batch of the run.
  template <class D>
  Report step(D const& data) {
    return engine_.step(source(data));
  }
  /// Mean loss over the first `samples` samples; 0: all.
  template <class D>
  double evaluate(D const& data, std::int64_t samples = 0) {
    return engine_.evaluate(source(data), samples);
  }
  /// The data without its type, which must be a Data source of this trainer's samples.
  template <class D>
  static Source source(D const& data) {
    using Input = typename BatchPolicy::input;
    using Target = typename BatchPolicy::target;
    constexpr bool fits = Data<D, Input, Target>;
    static_assert(sizeof(rule::SourceFits<D, Input, Target, fits>) > 0);
    if constexpr (fits)
      return Source::of<Input, Target>(data);
    else
      return {};
  }

  /// The prompt and `count` tokens that the model writes behind it. The last segment needs a member
  /// `constexpr Value logits(Value) const`. Collective.
  std::vector<std::int32_t> generate(std::span<std::int32_t const> prompt, int count,
                                     Sampling const& how = {}) {
    static_assert(sizeof(rule::GeneratesText<Model, BatchPolicy::batch.text()>) > 0);
    using S = GenerateSettings<layout.tokens, Settings>;
    return Generator(engine_, generate_segments<Model, S, backend_index<Backend>>, layout.tokens,
                     generate_scratch<Model, S>)
        .write(prompt, count, how);
  }

  Plan const& plan() const { return engine_.plan(); }
  Options& options() { return engine_.options(); }
  /// Skipped ones included.
  std::int64_t steps() const { return engine_.steps(); }
  Engine& engine() { return engine_; }

  // By path, whole, under any layout; collective. Paths are like "blocks.0.mlp.up.weight"; running
  // statistics have paths too.
  std::vector<std::string> const& paths() { return engine_.parameters().paths(); }
  Shape shape(std::string const& path) { return engine_.parameters().find(path).shape; }
  std::vector<Real> parameter(std::string const& path) {
    return engine_.parameters().read({}, path);
  }
  void set_parameter(std::string const& path, std::span<Real const> values) {
    engine_.parameters().write({}, path, values);
  }
  std::vector<Real> gradient(std::string const& path) { return engine_.gradient(path); }
  std::vector<Real> state(std::string_view name, std::string const& path) {
    return engine_.state(name, path);
  }
  void set_state(std::string_view name, std::string const& path, std::span<Real const> values) {
    engine_.set_state(name, path, values);
  }

  /// Everything a run needs to go on bitwise: weights, optimizer states, step, loss scale.
  /// Collective.
  void save(std::string const& path) { save_checkpoint(engine_, path); }
  void load(std::string const& path) { load_checkpoint(engine_, path); }

 private:
  static Plan start(World& world) {
    world.set_threads();
    int const data = world.size();
    Mesh mesh{.data = data, .domain = Device::domain(world)};
    if (micros_of(layout, data) < 1)
      throw Error("GlobalBatch<" + std::to_string(layout.global_batch) + "> is not a multiple of " +
                      std::to_string(layout.sequences) + " sequences times " +
                      std::to_string(data) + " data ranks; change N, Batch or the number of ranks",
                  true);
    if (layout.strict > 0 && sample_tree(layout.strict, micros_of(layout, data), data).leaves == 0)
      throw Error(no_tree(micros_of(layout, data) * data, data), true);
    Plan p = plan(mesh);
    if (auto const why = Device::shortage(world, p)) {
      if (world.root()) std::fprintf(stderr, "tessera: %s\n", why->c_str());
      mesh.domain = 1;
      p = plan(mesh);
      if (world.root())
        std::fprintf(stderr, "tessera: going on with private buffers instead (domains of 1)\n");
    }
    if (Fault const fault = verify(p))
      throw Error("this plan " + std::string(word(fault.what)) + "; please report it", true);
    return p;
  }

  static std::string no_tree(std::int64_t samples, int data) {
    std::int64_t const leaf = leaf_of(samples, layout.strict);
    return "Strict<" + std::to_string(layout.strict) + ">: a global batch of " +
           std::to_string(samples) + " samples is " + std::to_string(samples / leaf) +
           " groups of " + std::to_string(leaf) + ", which " + std::to_string(data) +
           " data ranks do not divide; use a power of two of ranks and at least one group for each";
  }

  Engine engine_;
};

/// What a rank of this mesh allocates is at most `limit`. For a message with the numbers: Within.
template <class T>
constexpr bool fits(Bytes limit, Mesh mesh) {
  return fits(outline(T::facts(), T::layout, mesh), limit);
}

/// `constexpr Within<T, 24_GiB, 8> checked;` refuses a plan that does not fit and prints both
/// sizes.
template <class T, Bytes Limit, int Data, int Domain = Data>
struct Within
    : rule::FitsMemory<(peak(outline(T::facts(), T::layout, {.data = Data, .domain = Domain})) +
                        1_MiB - 1) /
                           1_MiB,
                       Limit / 1_MiB> {};

}  // namespace tessera::inline TESSERA_SETTING
