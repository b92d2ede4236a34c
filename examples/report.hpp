/// What examples/train.cpp tells of a run: plan, log, progress, picture, trace; rank 0 writes them.
#pragma once

#include <tessera/plan/render.hpp>
#include <tessera/run/engine.hpp>
#include <tessera/run/log.hpp>
#include <tessera/run/picture.hpp>
#include <tessera/run/progress.hpp>
#include <tessera/run/trace_file.hpp>

#include "flags.hpp"

class Chronicle {
 public:
  Chronicle(tessera::World const& world, tessera::Engine& engine, Flags const& flags)
      : root_(world.root()),
        ranks_(world.size()),
        engine_(engine),
        flags_(flags),
        before_(engine.steps()) {
    using namespace tessera;
    if (root_) {
      write_file(flags.out + "/plan.txt", render(engine.plan()));
      std::printf("%s\n", render_memory(engine.plan()).c_str());
    }
    peak_ = gemm_peak(0.2) * world.size();
    if (root_) {
      log_.emplace(flags.out + "/log.jsonl",
                   flags.resume.empty() ? OutputFile::Mode::replace : OutputFile::Mode::extend);
      progress_.emplace();
    }
    start_ = Progress::seconds();
  }

  /// After a step; `evaluated`: the validation loss is of this step.
  void step(tessera::Report const& r, double validation_loss, bool evaluated) {
    using namespace tessera;
    validation_loss_ = validation_loss;
    // A busy moment at the start must not pass for the machine's peak.
    if (evaluated) peak_ = std::max(peak_, gemm_peak(0.05) * ranks_);
    if (!root_) return;
    double const speed = double(r.tokens) / r.seconds, seconds = Progress::seconds() - start_;
    if (!r.skipped) picture_.train.push_back({double(r.step), r.loss});
    if (evaluated) picture_.validation.push_back({double(r.step), validation_loss});
    log_->line({{"step", r.step},
                {"train_loss", r.loss},
                {"validation_loss", evaluated ? validation_loss : Status::unknown},
                {"gradient_norm", r.gradient_norm},
                {"learning_rate", r.learning_rate},
                {"loss_scale", r.loss_scale},
                {"skipped", r.skipped},
                {"tokens_per_second", speed},
                {"seconds", seconds}});
    if (r.skipped)
      progress_->say("step " + std::to_string(r.step) +
                     " skipped: its gradient overflows at loss scale " + human_count(r.loss_scale));
    progress_->show(
        {.step = r.step,
         .steps = flags_.steps,
         .loss = r.loss,
         .validation_loss = validation_loss,
         .tokens_per_second = speed,
         .share_of_peak = engine_.flops_per_step() / r.seconds / peak_,
         .memory = engine_.measured_memory(),
         .seconds_left = seconds / double(r.step - before_) * double(flags_.steps - r.step)});
  }

  void end_progress() { progress_.reset(); }
  /// Collective.
  void finish() {
    using namespace tessera;
    if (flags_.trace) save_trace(engine_, flags_.out + "/trace.json");
    if (!root_) return;
    write_file(flags_.out + "/loss.svg", picture_.svg());
    std::printf("validation loss %.4f nats per byte, %.1f s\n", validation_loss_,
                Progress::seconds() - start_);
    std::printf("memory of a rank: predicted %s, measured %s\n",
                human_bytes(peak(engine_.plan())).c_str(),
                human_bytes(engine_.measured_memory()).c_str());
  }

 private:
  bool root_;
  int ranks_;
  tessera::Engine& engine_;
  Flags const& flags_;
  std::int64_t before_;  // steps of earlier runs
  double peak_ = 0, start_ = 0, validation_loss_ = tessera::Status::unknown;
  std::optional<tessera::Log> log_{};
  std::optional<tessera::Progress> progress_{};
  tessera::Picture picture_{.title = "validation and training loss", .unit = "nats per byte"};
};
