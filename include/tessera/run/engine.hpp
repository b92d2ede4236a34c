/// A run: state, plan and executor together. Trainer is its thin, typed edge.
#pragma once

#include <tessera/run/executor.hpp>
#include <tessera/run/loss_scale.hpp>
#include <tessera/run/parameters.hpp>
#include <tessera/run/process_memory.hpp>

#include <chrono>
#include <memory>

namespace tessera::inline TESSERA_SETTING {

/// What a step tells.
struct Report {
  std::int64_t step = 0;     // counts from 1, skipped ones included
  double loss = 0;           // mean over the valid targets, or samples, of the global batch
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;  // of the update that was made, or skipped
  std::int64_t tokens = 0;   // of the global batch; its samples, if they are not text
  double seconds = 0;
  bool skipped = false;   // fp16: the scaled gradient overflowed, and nothing was updated
  double loss_scale = 1;  // of this step; 1 without fp16
};

class Engine {
 public:
  Engine(World const& world, Plan const& plan, MakeDevice make_device,
         std::span<SegmentGraph const> segments, OptimizerTable const& optimizer, int vocabulary,
         Options options)
      : world_(world),
        options_(std::move(options)),
        plan_(plan),
        vocabulary_(vocabulary),
        before_(private_memory()),
        device_(make_device(world, plan)),
        memory_(world, plan, *device_),
        groups_(segments, plan.facts, options_, plan.layout.by_tensor()),
        trace_(options_.trace_events),
        executor_(world, memory_, segments, optimizer, groups_, trace_),
        parameters_(world, memory_, segments),
        optimizer_(optimizer),
        scaler_(LossScaler::of(options_.fp16)) {
    check_loss_scale(options_.fp16, plan_.layout.low);
    parameters_.initialize(options_.seed);
  }

  Plan const& plan() const { return plan_; }
  Options& options() { return options_; }
  /// Global batches that were seen, and those of them that updated the weights.
  std::int64_t steps() const { return step_; }
  std::int64_t updates() const { return step_ - scaler_.skipped; }
  Parameters& parameters() { return parameters_; }
  /// Its index among the enabled ones.
  Device& device() { return *device_; }
  Traffic const& traffic() const { return device_->traffic(); }
  Memory& memory() { return memory_; }
  Executor& executor() { return executor_; }
  Trace& trace() { return trace_; }
  /// What did not come true of the choices in the plan's text, and why.
  std::vector<std::string> remarks() const {
    std::vector<std::string> all;
    for (Program const& program : executor_.programs())
      for (std::string const& said : program.remarks())
        all.push_back(std::string(program.segment().name) + ": " + said);
    return all;
  }
  OptimizerTable const& optimizer() const { return optimizer_; }
  /// Names of the states that a parameter has.
  std::span<std::string_view const> states_of(std::string const& path) const {
    int const flat = parameters_.find(path).flat;
    if (plan_.runs(flat)) return {};
    bool const matrix = plan_.orthogonalizes(flat);
    return matrix ? optimizer_.matrix_states : optimizer_.states;
  }
  World const& world() const { return world_; }

  /// Of the next step: 1 without fp16.
  double loss_scale() const { return scales() ? scaler_.factor(options_.fp16) : 1; }
  LossScaler const& scaler() const { return scaler_; }
  bool scales() const { return plan_.layout.low == DType::fp16; }

  /// The weights of a checkpoint that was written after this many steps are in place. Without a
  /// scaler the loss scale begins as in a new run.
  void resume_at(std::int64_t step, std::optional<LossScaler> const& scaler) {
    step_ = step;
    scaler_ = scaler.value_or(LossScaler::of(options_.fp16));
  }

  Report step(Source const& source, StepWatch* watch = nullptr) {
    auto const start = std::chrono::steady_clock::now();
    check_loss_scale(options_.fp16, plan_.layout.low);
    Batches const b = batches(plan_, source);
    StepValues const v = values();
    double const scale = loss_scale();
    Turnout const t = executor_.run(plan_, b, v, options_.clip_norm, scale, watch);
    if (!t.finite && !may_skip(t)) refuse(t, b);
    gradient_scale_ = t.gradient_scale;
    if (scales()) scaler_.update(options_.fp16, !t.finite);
    ++step_;
    gradients_are_gone_ = false;
    return {
        .step = step_,
        .loss = t.loss,
        .gradient_norm = t.gradient_norm,
        .learning_rate = v.rate,
        .tokens = b.terms(),
        .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
        .skipped = !t.finite,
        .loss_scale = scale};
  }

  /// Mean loss over the first `samples` samples of a source, in its order; 0: all of them.
  double evaluate(Source source, std::int64_t samples = 0) {
    if (samples > 0) source.samples = std::min(samples, source.samples);
    std::int64_t const at_once = std::int64_t(plan_.layout.sequences) * plan_.mesh.data;
    Plan const p = evaluate_plan(plan_, int((source.samples + at_once - 1) / at_once));
    Batches b = batches(p, source);
    b.first = 0, b.shuffled = b.repeats = false;
    Turnout const t = executor_.run(p, b, {});
    reuse_memory();
    if (t.valid == 0)
      throw Error("evaluate: every target is ignored (-1); give a source with targets", true);
    return t.loss;
  }

  /// The gradient of the last step's mean loss, before clipping. Collective.
  std::vector<Real> gradient(std::string const& path) {
    if (gradients_are_gone_)
      throw Error(
          "gradient(\"" + path +
              "\"): this plan keeps gradients until the next pass forward, and there was one "
              "behind the last step; ask before evaluate() and generate(), or train with "
              "Reduce<Step>",
          true);
    std::vector<Real> g = parameters_.read({What::gradient, 0}, path);
    for (Real& x : g) x *= Real(gradient_scale_);
    return g;
  }
  std::vector<Real> state(std::string_view name, std::string const& path) {
    return parameters_.read({What::state, state_index(name, path)}, path);
  }
  void set_state(std::string_view name, std::string const& path, std::span<Real const> values) {
    parameters_.write({What::state, state_index(name, path)}, path, values);
  }

  /// Something has run forward that is no step.
  void reuse_memory() { gradients_are_gone_ = plan_.reuses_memory(); }

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
              .batch = p.facts.samples,
              .vocabulary = vocabulary_,
              .micros = p.micros,
              .rank = world_.rank(),
              .ranks = p.mesh.data,
              .shuffled = options_.shuffle,
              .seed = options_.seed};
    b.first = step_ * b.global();
    return b;
  }
  StepValues values() const {
    Options const& o = options_;
    if (!(o.trust_least >= 0 && o.trust_least <= o.trust_most))
      throw Error(
          "Options::trust_least and trust_most bound Lamb's ratio; use 0 <= trust_least <= "
          "trust_most, not " +
              std::to_string(o.trust_least) + " and " + std::to_string(o.trust_most),
          true);
    return {.rate = o.learning_rate * o.schedule(updates()),
            .decay = o.weight_decay,
            .beta1 = o.beta1.value_or(optimizer_.defaults.beta1),
            .beta2 = o.beta2.value_or(optimizer_.defaults.beta2),
            .epsilon = o.epsilon.value_or(optimizer_.defaults.epsilon),
            .momentum = o.momentum.value_or(optimizer_.defaults.momentum),
            .nesterov = o.nesterov.value_or(optimizer_.defaults.nesterov),
            .trust_least = o.trust_least,
            .trust_most = o.trust_most,
            .step = updates() + 1,
            .seed = o.seed};
  }
  int state_index(std::string_view name, std::string const& path) const {
    if (plan_.runs(parameters_.find(path).flat)) return 0;  // which Parameters refuses
    auto const states = states_of(path);
    std::string known;
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (states[i] == name) return int(i);
      known += (i ? ", " : "") + std::string(states[i]);
    }
    throw Error(
        std::string(optimizer_.name) + " has no state '" + std::string(name) + "'; it has " + known,
        true);
  }

  /// Another loss scale, or other data, may make the next step finite.
  bool may_skip(Turnout const& t) const {
    return scales() && t.valid > 0 && !scaler_.exhausted(options_.fp16);
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
    std::string const least = scales() ? ", and the loss scale is at its min_loss_scale" : "";
    std::optional<std::string> mine;
    if (!found.empty())
      mine = where + what + "; the first value that is not finite is in " + found +
             "; the weights are those before this step" + least + ": lower the learning rate";
    world_.agree(mine);
    throw Error(where + what + ", though every value is finite: the sum of squares overflows" +
                    least + "; lower the learning rate",
                true);
  }

  World const& world_;
  Options options_;
  Plan plan_;
  int vocabulary_;
  Bytes before_;
  std::unique_ptr<Device> device_;
  Memory memory_;
  Groups groups_;
  Trace trace_;
  Executor executor_;
  Parameters parameters_;
  OptimizerTable optimizer_;
  LossScaler scaler_;
  std::int64_t step_ = 0;
  bool gradients_are_gone_ = false;  // their memory holds forward values again
  double gradient_scale_ = 1;
};

}  // namespace tessera::inline TESSERA_SETTING
