/// Writes text with the weights as they are: one token at a time from a sliding window.
#pragma once

#include <tessera/graph/generate.hpp>
#include <tessera/run/engine.hpp>

#include <cmath>
#include <cstring>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

template <class Model, int I, class S>
inline constexpr auto plain_generate_graph = plain(generate_graph<Model, I, S>);
template <class Model, int I, class S, int Backend>
inline constexpr auto bound_generate_graph = bound(generate_graph<Model, I, S>, Backend);

}  // namespace detail

template <class Model, class S, int Backend>
inline constexpr auto generate_segments = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array<SegmentGraph, sizeof...(I)>{SegmentGraph{
      field_name<Model, I>, repeats<Model, I>, false, detail::plain_generate_graph<Model, I, S>,
      detail::bound_generate_graph<Model, I, S, Backend>, generate_slots<Model, I, S>,
      parameters<Model, I, S>, places<Model, I, typename S::training>, batch_of<S>}...};
}
(std::make_integer_sequence<int, segments<Model>>{});

struct Sampling {
  double temperature = 0.8;  // 0: always the likeliest token
  std::uint64_t seed = 1;
};

class Generator {
 public:
  Generator(Engine& engine, std::span<SegmentGraph const> segments, int tokens, Bytes scratch)
      : engine_(engine),
        plan_(evaluate_plan(engine.plan())),
        tokens_(tokens),
        scratch_(engine.device().allocate(scratch)) {
    for (SegmentGraph const& s : segments) programs_.emplace_back(s);
    logits_.resize(std::size_t(segments.back().nodes.back().shape.count()));
    made_ = engine.device().allocate(Bytes(logits_.size() * sizeof(Real)));
  }

  /// Collective; every rank gives the same prompt and gets the same text.
  std::vector<std::int32_t> write(std::span<std::int32_t const> prompt, int count,
                                  Sampling const& how) {
    if (prompt.empty()) throw Error("generate: the prompt needs at least one token", true);
    for (std::int32_t t : prompt)
      if (t < 0 || t >= std::int64_t(logits_.size()))
        throw Error("generate: token " + std::to_string(t) +
                        " of the prompt is outside the model's vocabulary of " +
                        std::to_string(logits_.size()) + "; use the tokenizer of the training data",
                    true);
    std::vector<std::int32_t> text(prompt.begin(), prompt.end());
    RandomKey const key(how.seed, "generate");
    for (int i = 0; i < count; ++i) {
      std::size_t const seen = std::min(text.size(), std::size_t(tokens_));
      look(std::span(text).last(seen));
      text.push_back(choose(how.temperature, uniform(key, i)));
    }
    return text;
  }
  /// Of the token behind the last text that was looked at.
  std::span<Real const> logits() const { return logits_; }

 private:
  void look(std::span<std::int32_t const> text) {
    Executor& executor = engine_.executor();
    Device& device = engine_.device();
    engine_.reuse_memory();
    device.start();
    each_instruction(plan_, [&](Instruction const& in) {
      switch (in.op) {
        case Do::load:
          executor.order(plan_, in);
          load(text);
          break;
        case Do::forward:
          executor.order(plan_, in);
          forward(executor.bases(plan_, in), in, int(text.size()) - 1);
          break;
        case Do::exchange: break;  // there is no loss
        case Do::gather:
        case Do::release:
        case Do::merge:
        case Do::merge_uses:
        case Do::barrier:
        case Do::backward:
        case Do::reduce:
        case Do::gather_gradient:
        case Do::norm:
        case Do::prepare:
        case Do::exchange_sums:
        case Do::gather_update:
        case Do::orthogonalize:
        case Do::step: executor.move(plan_, in); break;
      }
    });
    Bytes const bytes = Bytes(logits_.size() * sizeof(Real));
    device.on_host(made_.get(), bytes, false,
                   [&](std::byte* made) { std::memcpy(logits_.data(), made, std::size_t(bytes)); });
  }

  void load(std::span<std::int32_t const> text) {
    Device& device = engine_.device();
    std::byte* const at = engine_.memory().at(Family::batch);
    auto* const to = reinterpret_cast<std::int32_t*>(device.stage(at, plan_.facts.batch, 0));
    std::fill(std::copy(text.begin(), text.end(), to), to + tokens_, 0);
    device.send(at, plan_.facts.batch, 0);
  }

  void forward(Bases at, Instruction const& in, int position) {
    at.scratch = scratch_.get();
    if (in.segment == plan_.segments() - 1) {
      Shape const x = programs_.back().segment().nodes.front().shape;
      at.input += position * x.cols() * Bytes(sizeof(Real));
      at.output = made_.get();
    }
    programs_[std::size_t(in.segment)].forward(at, false);
  }

  std::int32_t choose(double temperature, double u) const {
    auto const best = std::max_element(logits_.begin(), logits_.end());
    if (temperature <= 0) return std::int32_t(best - logits_.begin());
    double sum = 0;
    for (Real x : logits_) sum += std::exp((double(x) - double(*best)) / temperature);
    double left = u * sum;
    for (std::size_t i = 0; i < logits_.size(); ++i) {
      left -= std::exp((double(logits_[i]) - double(*best)) / temperature);
      if (left < 0) return std::int32_t(i);
    }
    return std::int32_t(best - logits_.begin());
  }

  Engine& engine_;
  Plan plan_;
  int tokens_;
  std::vector<Program> programs_;
  std::shared_ptr<std::byte> scratch_, made_;  // made_: the logits on the device
  std::vector<Real> logits_;
};

}  // namespace tessera::inline TESSERA_SETTING
