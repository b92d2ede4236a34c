/// Runs a plan: one loop over its instructions, one switch. Plan row -> backend call -> kernel.
#pragma once

#include <tessera/optimizer/optimizer.hpp>
#include <tessera/plan/words.hpp>
#include <tessera/run/batch.hpp>
#include <tessera/run/gaps.hpp>
#include <tessera/run/trace.hpp>
#include <tessera/run/update.hpp>

namespace tessera::inline TESSERA_SETTING {

/// What an update needs beside the gradients, and what a step found out.
struct Turnout {
  double loss = 0;            // mean over the valid terms of all ranks
  double gradient_norm = 0;   // before clipping
  std::int64_t valid = 0;     // terms that are not ignored, over all ranks
  double gradient_scale = 1;  // from the buffers to the gradient of the mean loss
  bool finite = true;
};

/// Sees a step: every instruction, and the values that passes compute. run/profile.hpp is one.
struct StepWatch : NodeWatch {
  virtual void begins(Instruction const& in) = 0;
  virtual void ends(Instruction const& in) = 0;
};

class Executor {
 public:
  Executor(World const& world, Memory& memory, std::span<SegmentGraph const> segments,
           OptimizerTable const& optimizer, Groups const& groups, Trace& trace)
      : rank_(world.rank()),
        memory_(memory),
        device_(memory.device()),
        update_(world.rank(), memory, optimizer, groups),
        trace_(trace),
        gaps_(memory.plan(), segments) {
    for (SegmentGraph const& s : segments) programs_.emplace_back(s);
    auto const name = [&](std::string const& owner) {
      names_.emplace_back();
      for (int op = 0; op < kinds_of_rows; ++op)
        names_.back()[std::size_t(op)] =
            (owner.empty() ? "" : owner + " ") + std::string(word(Do(op)));
    };
    for (SegmentGraph const& s : segments) name(std::string(s.name));
    for (FlatInfo const& f : memory.plan().facts.flats) name(std::string(f.name));
    name("");
  }

  std::vector<Program> const& programs() const { return programs_; }

  /// One step, or one evaluation. values: of the update, with rate and decay of the whole model.
  /// loss_scale: what the loss's gradient is multiplied with on its way back; the update takes it
  /// out.
  Turnout run(Plan const& plan, Batches const& batches, StepValues const& values,
              double clip_norm = 0, double loss_scale = 1, StepWatch* watch = nullptr) {
    begin(plan, batches);
    values_ = values, clip_norm_ = clip_norm, loss_scale_ = loss_scale;
    each_instruction(plan, [&](Instruction const& in) {
      if (updates(in.op) && !turnout_.finite) return;  // weights and states stay as they were
      device_.doing(in.row, in.layer, in.micro);
      if (watch) watch->begins(in);
      std::int64_t const start = trace_.on() ? Trace::now() : 0;
      device_.name(event_name(in).data());
      placed([&] { execute(in, watch); }, [&] { return where(in); });
      device_.leave();
      if (trace_.on()) record(plan, in, start);
      if (watch) watch->ends(in);
    });
    return turnout_;
  }

  /// The passes of a step once more, looking at every value: the first that is not finite, as text.
  std::string first_non_finite(Plan const& plan, Batches const& batches) {
    begin(plan, batches);
    std::string found;
    each_instruction(plan, [&](Instruction const& in) {
      if (in.pass == Pass::update) return;
      NonFinite here(device_);
      execute(in, &here);
      if (here.node >= 0 && found.empty()) {
        SegmentGraph const& s = programs_[std::size_t(in.segment)].segment();
        found = std::string(s.name) + (s.layers > 1 ? "." + std::to_string(in.layer) : "") +
                (in.op == Do::forward ? " forward" : " backward") + ", node %" +
                std::to_string(here.node) + " (" + std::string(here.op) + "), micro-batch " +
                std::to_string(in.micro);
      }
    });
    return found;
  }

  /// A row that moves weights or waits, for plans whose passes somebody else computes.
  void move(Plan const& plan, Instruction const& in) {
    plan_ = &plan;
    execute(in, nullptr);
  }

  /// What is asked of the device from here on is this instruction's.
  void order(Plan const& plan, Instruction const& in) {
    Row const& row = plan.rows[std::size_t(in.row)];
    device_.enter(in.turn);
    device_.issue(row.stream, row.wait);
  }

  /// Where the values of a turn are.
  Bases bases(Plan const& plan, Instruction const& in) {
    Placement const& place = memory_.place();
    int const last = plan.segments() - 1;
    SegmentInfo const& segment = plan.facts.segments[std::size_t(in.segment)];
    Bases b;
    b.layer = in.layer;
    std::byte* const values = memory_.at(Family::forward);
    if (in.layer > 0)
      b.input = values + place.output(in.segment, in.layer - 1);
    else if (in.segment > 0)
      b.input = values + place.output(in.segment - 1,
                                      plan.facts.segments[std::size_t(in.segment - 1)].layers - 1);
    if (in.segment < last) b.output = values + place.output(in.segment, in.layer);
    // Turns alternate: a layer's output gradient is where the turn before has put its input
    // gradient.
    std::byte* const gradients = memory_.at(Family::boundary_gradients);
    b.input_gradient = gradients + place.boundary_gradient(in.turn % 2);
    b.output_gradient = gradients + place.boundary_gradient(1 - in.turn % 2);
    b.kept = values + place.kept(in.segment, in.layer);
    b.scratch = memory_.at(Family::scratch);
    b.workspace = memory_.at(Family::workspace);
    b.batch = memory_.at(Family::batch);
    b.device = &device_;
    b.seed = Real(loss_scale_);
    for (std::size_t u = 0; u < segment.flats.size(); ++u) {
      int const flat = segment.flats[u].flat;
      if (flat < 0) continue;
      b.weights[u] = memory_.readable(in, flat);
      if (in.pass != Pass::backward || !segment.flats[u].gradient) continue;
      b.gradients[u] = reinterpret_cast<std::byte*>(memory_.gradient(in, flat));
      b.accumulate[u] = accumulates(plan, in, flat);
    }
    return b;
  }

 private:
  void begin(Plan const& plan, Batches const& batches) {
    plan_ = &plan, batches_ = &batches;
    turnout_ = {};
    sums_ = {};
    placed([&] { device_.start(); }, [] { return std::string("start of a step"); });
  }

  /// work(), whose failing calls are told with their place.
  template <class Work, class Where>
  static void placed(Work const& work, Where const& where) {
    try {
      work();
    } catch (DeviceError const& error) {
      throw Error(error.sentence() + " [" + where() + "]");
    }
  }

  void record(Plan const& p, Instruction const& in, std::int64_t start) {
    Row const& row = p.rows[std::size_t(in.row)];
    bool const update = in.pass == Pass::update;
    trace_.record({.name = event_name(in),
                   .begin = start,
                   .end = Trace::now(),
                   .stream = int(row.stream),
                   .layer = in.segment < 0 && in.flat < 0 ? -1 : in.layer,
                   .micro = update ? -1 : in.micro,
                   .bytes = row.copied > 0 ? row.copied : -1});
  }
  /// Ends in a zero.
  std::string_view event_name(Instruction const& in) const {
    std::size_t const owner = in.segment >= 0 ? std::size_t(in.segment)
                              : in.flat >= 0  ? programs_.size() + std::size_t(in.flat)
                                              : names_.size() - 1;
    return names_[owner][std::size_t(in.op)];
  }

  /// The row that is at work, for a message.
  std::string where(Instruction const& in) const {
    std::string text = "plan row " + std::to_string(in.row) + ", " + std::string(event_name(in));
    if (in.segment >= 0 || in.flat >= 0) text += ", layer " + std::to_string(in.layer);
    if (in.pass != Pass::update) text += ", micro-batch " + std::to_string(in.micro);
    return text;
  }

  void execute(Instruction const& in, NodeWatch* watch) {
    Plan const& p = *plan_;
    order(p, in);
    switch (in.op) {
      case Do::load: load(p, in); break;
      case Do::gather: gather(p, in); break;
      case Do::release: break;
      case Do::forward: compute(p, in, watch); break;
      case Do::backward: compute(p, in, watch); break;
      case Do::merge: merge(p, in); break;
      case Do::merge_uses: merge_uses(p, in, 0, p.whole_elements(in.flat)); break;
      case Do::barrier: device_.barrier(); break;
      case Do::reduce: reduce(p, in); break;
      case Do::gather_gradient: gather_gradient(p, in); break;
      case Do::norm: norm(p, in); break;
      case Do::exchange: exchange(p); break;
      case Do::prepare: update_.prepare(p, in, values_); break;
      case Do::exchange_sums:
        device_.exchange_sums(memory_.sums(0), int(tensor_sums(p.facts) / Bytes(sizeof(double))));
        break;
      case Do::gather_update:
        device_.gather(reinterpret_cast<std::byte*>(memory_.update()),
                       p.part_elements(in.flat) * p.layout.real);
        break;
      case Do::orthogonalize: update_.orthogonalize(p, in); break;
      case Do::step: update_.step(p, in, values_); break;
    }
  }

  void load(Plan const& p, Instruction const& in) {
    int const slots = memory_.plan().micros, slot = in.micro % slots;
    if (slot == 0 && in.micro > 0) add_losses(slots);  // evaluation: more than a step has
    std::byte* const at = memory_.at(Family::batch);
    sums_.valid += double(batches_->load(in.micro, device_.stage(at, p.facts.batch, slot)));
    device_.send(at, p.facts.batch, slot);
  }

  void compute(Plan const& p, Instruction const& in, NodeWatch* watch) {
    Program& program = programs_[std::size_t(in.segment)];
    Bases const at = bases(p, in);
    bool const training = p.kind == Kind::train, last = in.segment == p.segments() - 1;
    auto const work = [&] {
      if (in.op == Do::forward)
        program.forward(at, training, watch);
      else
        program.backward(at, watch);
      if (in.op == Do::backward && p.reduces_slots()) gaps_.clear(memory_, in);
    };
    if (p.layout.graphs && !watch)
      device_.repeat(at.key(std::uint64_t(in.segment), std::uint64_t(in.op) * 2 + training), work);
    else
      work();
    if (last && (in.op == Do::backward || !training)) fetch_loss(program.losses(at, training), in);
  }

  /// The loss of a micro-batch, for the sum that every rank hears of.
  void fetch_loss(Program::Losses const& of, Instruction const& in) {
    Real* const to = memory_.losses(in.micro);
    device_.fetch(to, of.losses, of.count);
    if (of.scales) device_.fetch(to + of.count, of.scales, of.count);
    losses_ = of;
  }
  /// Of the last `micros` micro-batches, in their order.
  void add_losses(int micros) {
    device_.finish();
    for (int micro = 0; micro < micros; ++micro) {
      Real const* const at = memory_.losses(micro);
      double sum = 0;
      for (std::int64_t i = 0; i < losses_.count; ++i)
        sum += double(at[i]) * (losses_.scales ? double(at[losses_.count + i]) : 1.0);
      sums_.loss.add(sum);
    }
  }

  void gather(Plan const& p, Instruction const& in) {
    Bytes const part = p.part_elements(in.flat) * p.weight(in.flat);
    std::byte* const kept = memory_.weights(in.flat, in.layer);
    if (p.gathers_into_slots()) {
      std::byte* const whole = memory_.readable(in, in.flat);
      device_.place(whole + rank_ * part, kept, part);
      device_.gather(whole, part);
    } else {
      device_.gather(kept, part);
    }
  }

  void merge(Plan const& p, Instruction const& in) {
    int const completed = p.tree().completes(in.micro);
    if (completed == 0) return;
    int const top = p.tree().accumulator(in.micro), use = p.use(in.segment, in.flat);
    device_.sum_in_order(memory_.accumulator(in.flat, in.layer, use, top - completed),
                         p.whole_elements(in.flat), completed + 1, [&](int k) -> Real const* {
                           return memory_.accumulator(in.flat, in.layer, use, top - k);
                         });
  }

  /// [begin, begin + count) of all uses of a flat become one.
  void merge_uses(Plan const& p, Instruction const& in, std::int64_t begin, std::int64_t count) {
    device_.sum_in_order(memory_.use_gradient(in.flat, in.layer, 0) + begin, count, p.uses(in.flat),
                         [&](int use) -> Real const* {
                           return memory_.use_gradient(in.flat, in.layer, use) + begin;
                         });
  }

  void reduce(Plan const& p, Instruction const& in) {
    std::int64_t const part = p.part_elements(in.flat);
    std::span<Real> const room(
        reinterpret_cast<Real*>(memory_.at(Family::exchange)),
        std::size_t(memory_.place().of(Family::exchange).bytes) / sizeof(Real));
    if (p.layout.strict == 0) {
      device_.reduce(
          memory_.reduced(in.flat, in.layer, rank_), accumulates(p, in, in.flat), part,
          [&](int k) { return memory_.gradient(in, in.flat, k); }, room);
      return;
    }
    for (int use = 0; use < p.uses(in.flat); ++use)
      device_.reduce(
          memory_.use_gradient(in.flat, in.layer, use) + rank_ * part, false, part,
          [&](int k) { return memory_.use_gradient(in.flat, in.layer, use, k); }, room);
    if (p.uses(in.flat) > 1) merge_uses(p, in, rank_ * part, part);
  }

  void gather_gradient(Plan const& p, Instruction const& in) {
    std::int64_t const part = p.part_elements(in.flat);
    Family const from = p.reduces_slots() ? Family::gradient_shares : Family::gradients;
    bool const shares = p.reduces_slots();
    int const first = rank_ - rank_ % p.mesh.domain;
    device_.gather_gradient(memory_.whole_gradient(in.flat, in.layer), part, [&](int k) -> Real* {
      return memory_.flat(from, in.flat, in.layer, k) + (shares ? 0 : (first + k) * part);
    });
  }

  void norm(Plan const& p, Instruction const& in) {
    if (p.runs(in.flat)) return;  // changes of statistics are no gradient
    Real const* const part = memory_.reduced(in.flat, in.layer, rank_);
    std::span<double> const scratch(reinterpret_cast<double*>(memory_.at(Family::workspace)),
                                    std::size_t(p.facts.workspace) / sizeof(double));
    device_.add_squares(sums_.squares, part, p.part_elements(in.flat), scratch);
  }

  void exchange(Plan const& p) {
    add_losses((p.micros - 1) % memory_.plan().micros + 1);
    *memory_.sums_of_step(rank_) = sums_;
    if (p.mesh.data > 1)
      device_.exchange(reinterpret_cast<double*>(memory_.sums_of_step(0)),
                       int(sizeof(StepSums) / sizeof(double)));
    StepSums all;
    for (int r = 0; r < p.mesh.data; ++r) {
      StepSums const& of = *memory_.sums_of_step(r);
      all.squares.add(of.squares), all.loss.add(of.loss), all.valid += of.valid;
    }
    double const loss = all.loss.value(), squares = all.squares.value(), valid = all.valid;
    // Losses carry one over all terms; ignored ones are taken out here.
    double const nominal = double(batches_->terms());
    double const mean = valid > 0 ? nominal / valid : 0;
    turnout_.valid = std::int64_t(valid);
    turnout_.loss = loss * mean;
    turnout_.gradient_scale = mean / loss_scale_;
    turnout_.gradient_norm = std::sqrt(squares) * turnout_.gradient_scale;
    turnout_.finite =
        std::isfinite(turnout_.loss) && std::isfinite(turnout_.gradient_norm) && valid > 0;
    values_.gradient_scale = turnout_.gradient_scale;
    if (p.layout.clip && clip_norm_ > 0)
      values_.gradient_scale *= std::min(1.0, clip_norm_ / (turnout_.gradient_norm + 1e-6));
  }

  int rank_;
  Memory& memory_;
  Device& device_;
  Update update_;
  Trace& trace_;
  std::vector<Program> programs_;
  std::vector<std::array<std::string, kinds_of_rows>>
      names_;  // of trace events: segments, flats, none
  Gaps gaps_;
  Plan const* plan_ = nullptr;
  Batches const* batches_ = nullptr;
  StepValues values_{};
  double clip_norm_ = 0, loss_scale_ = 1;
  Turnout turnout_{};
  StepSums sums_{};  // of this rank
  Program::Losses losses_{};
};

}  // namespace tessera::inline TESSERA_SETTING
