/// A run: state, plan and executor together. Trainer is its thin, typed edge.
#pragma once

#include <tessera/run/executor.hpp>
#include <tessera/run/parameters.hpp>
#include <tessera/run/process_memory.hpp>

#include <chrono>

namespace tessera::inline TESSERA_SETTING {

/// What a step tells.
struct Report {
  std::int64_t step = 0;     // counts from 1
  double loss = 0;           // mean over the valid targets of the global batch
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  std::int64_t tokens = 0;  // of the global batch
  double seconds = 0;
};

class Engine {
 public:
  Engine(World const& world, Plan const& plan, std::span<SegmentGraph const> segments,
         OptimizerTable const& optimizer, int vocabulary, Options options)
      : world_(world),
        options_(std::move(options)),
        plan_(plan),
        vocabulary_(vocabulary),
        before_(private_memory()),
        memory_(world, plan),
        groups_(segments, plan.facts, options_),
        trace_(options_.trace_events),
        executor_(world, memory_, segments, optimizer, groups_, trace_),
        parameters_(world, memory_, segments),
        optimizer_(optimizer) {
    parameters_.initialize(options_.seed);
  }

  Plan const& plan() const { return plan_; }
  Options& options() { return options_; }
  std::int64_t steps() const { return step_; }
  Parameters& parameters() { return parameters_; }
  Collective const& collective() const { return executor_.collective(); }
  Memory& memory() { return memory_; }
  Executor& executor() { return executor_; }
  Trace& trace() { return trace_; }
  OptimizerTable const& optimizer() const { return optimizer_; }
  World const& world() const { return world_; }

  /// The weights of a checkpoint that was written after this many steps are in place.
  void resume_at(std::int64_t step) { step_ = step; }

  template <Data D>
  Report step(D const& data) {
    auto const start = std::chrono::steady_clock::now();
    Batches const b = batches(plan_, Source::of(data, plan_.layout.tokens));
    StepValues const v{.rate = options_.learning_rate * options_.schedule(step_),
                       .decay = options_.weight_decay,
                       .beta1 = options_.beta1.value_or(optimizer_.defaults.beta1),
                       .beta2 = options_.beta2.value_or(optimizer_.defaults.beta2),
                       .epsilon = options_.epsilon.value_or(optimizer_.defaults.epsilon),
                       .momentum = options_.momentum,
                       .nesterov = options_.nesterov,
                       .step = step_ + 1};
    Turnout const t = executor_.run(plan_, b, v, options_.clip_norm);
    if (!t.finite) refuse(t, b);
    gradient_scale_ = t.gradient_scale;
    ++step_;
    return {step_,
            t.loss,
            t.gradient_norm,
            v.rate,
            b.targets(),
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  }

  /// Mean loss over the first `samples` samples of a source, in its order; 0: all of them.
  template <Data D>
  double evaluate(D const& data, std::int64_t samples = 0) {
    Source source = Source::of(data, plan_.layout.tokens);
    if (samples > 0) source.samples = std::min(samples, source.samples);
    std::int64_t const at_once = std::int64_t(plan_.layout.sequences) * plan_.mesh.data;
    Plan const p = evaluate_plan(plan_, int((source.samples + at_once - 1) / at_once));
    Batches b = batches(p, source);
    b.first = 0, b.shuffled = b.repeats = false;
    Turnout const t = executor_.run(p, b, {});
    if (t.valid == 0)
      throw Error("evaluate: every target is ignored (-1); give a source with targets", true);
    return t.loss;
  }

  /// The gradient of the last step's mean loss, before clipping. Collective.
  std::vector<Real> gradient(std::string const& path) {
    std::vector<Real> g = parameters_.read({What::gradient, 0}, path);
    for (Real& x : g) x *= Real(gradient_scale_);
    return g;
  }
  std::vector<Real> state(std::string_view name, std::string const& path) {
    return parameters_.read({What::state, state_index(name)}, path);
  }
  void set_state(std::string_view name, std::string const& path, std::span<Real const> values) {
    parameters_.write({What::state, state_index(name)}, path, values);
  }

  /// Bytes that the plan's buffers and everything since take: private memory and a part of the
  /// window.
  Bytes measured_memory() {
    Bytes const window = memory_.place().window_bytes();
    return private_memory() - before_ + (window + plan_.mesh.domain - 1) / plan_.mesh.domain;
  }
  double flops_per_step() const {
    double sum = 0;
    for (SegmentInfo const& s : plan_.facts.segments)
      sum += s.layers * (s.forward_flops + s.backward_flops);
    return sum * plan_.micros * plan_.mesh.data;
  }

 private:
  Batches batches(Plan const& p, Source const& source) const {
    Batches b{.source = source,
              .sequences = p.layout.sequences,
              .tokens = p.layout.tokens,
              .vocabulary = vocabulary_,
              .micros = p.micros,
              .rank = world_.rank(),
              .ranks = p.mesh.data,
              .shuffled = options_.shuffle,
              .seed = options_.seed};
    b.first = step_ * b.global();
    return b;
  }
  int state_index(std::string_view name) const {
    std::string known;
    for (std::size_t i = 0; i < optimizer_.states.size(); ++i) {
      if (optimizer_.states[i] == name) return int(i);
      known += (i ? ", " : "") + std::string(optimizer_.states[i]);
    }
    throw Error(
        std::string(optimizer_.name) + " has no state '" + std::string(name) + "'; it has " + known,
        true);
  }

  [[noreturn]] void refuse(Turnout const& t, Batches const& b) {
    std::string const where = "step " + std::to_string(step_ + 1) + ": ";
    if (t.valid == 0)
      throw Error(where +
                      "every target of the global batch is ignored (-1), so there is no loss; "
                      "check the data",
                  true);
    std::string const found = executor_.first_non_finite(plan_, b);
    std::string const what = "the loss is " + std::to_string(t.loss) + ", the gradient norm " +
                             std::to_string(t.gradient_norm);
    std::optional<std::string> mine;
    if (!found.empty())
      mine = where + what + "; the first value that is not finite is in " + found +
             "; the weights are those before this step: lower the learning rate";
    world_.agree(mine);
    throw Error(where + what +
                    ", though every value is finite: the sum of squares overflows; lower "
                    "the learning rate",
                true);
  }

  World const& world_;
  Options options_;
  Plan plan_;
  int vocabulary_;
  Bytes before_;
  Memory memory_;
  Groups groups_;
  Trace trace_;
  Executor executor_;
  Parameters parameters_;
  OptimizerTable optimizer_;
  std::int64_t step_ = 0;
  double gradient_scale_ = 1;
};

}  // namespace tessera::inline TESSERA_SETTING
