/// Where a step's time goes, op by op, beside the least that this machine could take for it.
///
///   Profile profile = measure(trainer, data);        // one more training step, watched
///   std::puts(profile.text(MachineLimits::measure(trainer.layout.low)).c_str());
#pragma once

#include <tessera/backend/gemm.hpp>
#include <tessera/kernels/elementwise.hpp>
#include <tessera/run/engine.hpp>

namespace tessera::inline TESSERA_SETTING {

/// What a rank's cores can do while all ranks are at it.
struct MachineLimits {
  double flops = 0, low_flops = 0;  // a second, of products of floats and of 16-bit values
  double bytes = 0;                 // a second, from and to memory

  /// Takes about a second.
  static MachineLimits measure(DType low) {
    MachineLimits m{.flops = gemm_peak(), .low_flops = 0, .bytes = stream()};
    m.low_flops = low == DType::real ? m.flops : gemm_peak(0.3, low);
    return m;
  }

 private:
  static double stream() {
    constexpr std::int64_t n = 16 << 20;
    std::vector<float> a(n, 1), b(n, 2), c(n);
    double best = 0;
    for (int i = 0; i < 8; ++i) {
      std::int64_t const start = Trace::now();
      CpuTeam{}.run(kernel::Add<float>{.y = {c.data(), shape_of(n)},
                                       .a = {a.data(), shape_of(n)},
                                       .b = {b.data(), shape_of(n)}});
      best = std::max(best, 3e9 * sizeof(float) * n / double(Trace::now() - start));
    }
    return best;
  }
};

/// One kind of work of a step, all its runs together.
struct Work {
  std::string name{};
  std::int64_t runs = 0;
  double bytes = 0;  // operands and results, once each
  double flops = 0;
  bool low = false;  // the products' operands have 16 bits
  double seconds = 0;

  double floor(MachineLimits const& m) const {
    return std::max(bytes / m.bytes, flops / (low ? m.low_flops : m.flops));
  }
};

/// Watches one step.
class Profile : public StepWatch {
 public:
  explicit Profile(Engine& engine) : engine_(engine) {}

  std::vector<Work> const& work() const { return work_; }
  double seconds() const { return seconds_; }
  void whole_step(double seconds) { seconds_ = seconds; }

  void begins(Instruction const& in) override {
    engine_.device().finish();
    in_ = in, last_ = Trace::now();
  }
  void done(int node, BoundOp const& op, Tensor const&, DType) override {
    SegmentGraph const& s = engine_.executor().programs()[std::size_t(in_.segment)].segment();
    Nodes const nodes(s.nodes.begin(), s.nodes.end());
    Node const& n = nodes[std::size_t(node)];
    Work& w = entry(std::string(s.name) + " " + std::string(op.name));
    w.flops += op.flops(signature(nodes, n));
    w.low = op.traits.gemm && n.low != DType::real;
    w.bytes += bytes_of_value(n);
    for (int j : n.in) w.bytes += j < 0 ? 0 : bytes_of_value(nodes[std::size_t(j)]);
    for (int j : n.extra) w.bytes += j < 0 ? 0 : bytes_of_value(nodes[std::size_t(j)]);
    lap(w);
  }
  void ends(Instruction const& in) override {
    if (in.op == Do::forward || in.op == Do::backward) return;
    Plan const& p = engine_.plan();
    Work& w = entry("all " + std::string(word(in.op)));
    w.bytes += double(moved(p, in));
    lap(w);
  }

  /// A table, the largest first. Floors of ops count no traffic that caches save, and no pass over
  /// memory that an op makes inside.
  std::string text(MachineLimits const& m) const {
    std::vector<Work> lines = work_;
    std::stable_sort(lines.begin(), lines.end(),
                     [](Work const& a, Work const& b) { return a.seconds > b.seconds; });
    std::string out =
        "what                                runs       MiB    GFLOP  floor ms        ms   share"
        "  of floor\n";
    Work all{.name = "all of these"};
    double floor = 0;
    auto const line = [&](Work const& w, double least) {
      char text[160];
      std::snprintf(text, sizeof text, "%-34s %5lld %9.1f %8.2f %9.2f %9.2f %6.1f%% %8.0f%%\n",
                    w.name.c_str(), static_cast<long long>(w.runs), w.bytes / (1 << 20),
                    w.flops * 1e-9, 1e3 * least, 1e3 * w.seconds, 100 * w.seconds / seconds_,
                    w.seconds > 0 ? 100 * least / w.seconds : 100.0);
      out += text;
    };
    for (Work const& w : lines) {
      line(w, w.floor(m));
      floor += w.floor(m);
      all.runs += w.runs, all.bytes += w.bytes, all.flops += w.flops, all.seconds += w.seconds;
    }
    line(all, floor);
    char text[160];
    std::snprintf(text, sizeof text,
                  "the step took %.2f ms; limits: %.0f GFLOP/s, %.0f in 16 bits, %.1f GB/s\n",
                  1e3 * seconds_, m.flops * 1e-9, m.low_flops * 1e-9, m.bytes * 1e-9);
    return out + text;
  }

 private:
  static double bytes_of_value(Node const& n) {
    return double(n.shape.count()) * double(size_of(n.dtype));
  }
  /// Of a row of the plan: what it reads and writes of this rank's buffers.
  static Bytes moved(Plan const& p, Instruction const& in) {
    Row const& row = p.rows[std::size_t(in.row)];
    if (in.flat < 0) return row.copied;
    Layout const& l = p.layout;
    std::int64_t const part = p.part_elements(in.flat);
    std::int64_t const own = p.steps_own_part() ? part : p.whole_elements(in.flat);
    Bytes const states = p.states(in.flat) * p.state(in.flat);
    Bytes const weight = p.weight(in.flat) + p.master(in.flat);
    switch (in.op) {
      case Do::norm: return part * l.real;
      case Do::reduce: return (p.mesh.data + 1) * part * l.real;
      case Do::prepare: return own * (weight + l.real + 2 * states);
      case Do::step: return own * (2 * weight + l.real + 2 * states);
      case Do::orthogonalize: return 2 * p.whole_elements(in.flat) * l.real;
      default: return 2 * row.copied;
    }
  }
  void lap(Work& w) {
    engine_.device().finish();
    std::int64_t const now = Trace::now();
    w.seconds += 1e-9 * double(now - last_);
    ++w.runs;
    last_ = now;
  }
  Work& entry(std::string const& name) {
    for (Work& w : work_)
      if (w.name == name) return w;
    work_.push_back({.name = name});
    return work_.back();
  }

  Engine& engine_;
  Instruction in_{};
  std::int64_t last_ = 0;
  double seconds_ = 0;
  std::vector<Work> work_;
};

/// One training step, watched. Collective; each rank has its own profile.
template <class Trainer, class D>
Profile measure(Trainer& trainer, D const& data) {
  Profile profile(trainer.engine());
  profile.whole_step(trainer.engine().step(trainer.source(data), &profile).seconds);
  return profile;
}

}  // namespace tessera::inline TESSERA_SETTING
