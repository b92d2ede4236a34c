/// render: a plan as a text that a person without C++ can read; a change of policy is a diff of it.
#pragma once

#include <tessera/plan/memory.hpp>
#include <tessera/plan/words.hpp>

#include <utility>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

inline std::string column(std::string_view text, std::size_t width) {
  std::string s(text);
  if (s.size() < width) s.append(width - s.size(), ' ');
  return s + ' ';
}
inline std::string right(std::string const& text, std::size_t width) {
  return (text.size() < width ? std::string(width - text.size(), ' ') : "") + text + ' ';
}

inline std::string count(int n, std::string const& one) {
  return std::to_string(n) + " " + one + (n == 1 ? "" : "s");
}

/// Input or target of a sample: "28 x 28 numbers", "1 label of 10".
inline std::string field_in_words(SampleField const& f) {
  std::string s;
  for (int i = 0; i < f.extents.rank; ++i) s += (i ? " x " : "") + std::to_string(f.extents[i]);
  if (f.extents.rank == 0) s = "1";
  s += f.dtype == DType::real ? " number" : " label";
  if (f.count() != 1) s += "s";
  return f.dtype == DType::real ? s : s + " of " + std::to_string(f.classes);
}
inline std::string batch_in_words(SampleBatch const& b) {
  if (b.text())
    return std::to_string(b.samples) + " x " + std::to_string(b.input.count()) + " tokens";
  return count(b.samples, "sample") + ", " + field_in_words(b.input) + " to " +
         field_in_words(b.target);
}

/// A line without the blanks at its end.
inline void line(std::string& out, std::string text) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
  out += text + '\n';
}

inline std::string waits_in_words(Row const& r) {
  static constexpr char const* source[] = {"computed", "gathered", "reduced"};
  std::string s;
  for (int x = 0; x < streams; ++x) {
    Wait const w = r.wait[std::size_t(x)];
    if (w == Wait::none) continue;
    s += s.empty() ? "after all " : ", all ";
    s += source[x];
    if (w == Wait::before_turn) s += " before this turn";
    if (w == Wait::before_last_turn) s += " before the last turn";
  }
  return s;
}

inline std::string notes(Plan const& p, Row const& r) {
  std::string s;
  auto const add = [&](std::string const& text) { s += (s.empty() ? "" : "; ") + text; };
  if (r.when != When::every && p.micros > 1)
    add((r.when == When::first || r.when == When::last ? "only in the " : "in all but the ") +
        std::string(r.when == When::first || r.when == When::not_first ? "first" : "last") +
        " micro-batch");
  if (r.once && p.facts.segments[std::size_t(r.segment)].layers > 1) add("only at its last layer");
  if (r.ahead) add("one turn early");
  if (std::string const w = waits_in_words(r); !w.empty()) add(w);
  if (p.orthogonalizes(r.flat)) add("matrices");
  if (r.flat >= 0 && p.runs(r.flat)) add("running statistics");
  if (r.flat >= 0 && p.in_full(r.flat)) add("float");
  if ((r.op == Do::gather || r.op == Do::gather_update) && r.copied == 0)
    add("nothing moves: ranks share this memory");
  return s;
}

inline void render_row(Plan const& p, Row const& r, std::string& out) {
  std::string_view const flat = r.flat < 0 ? "" : p.facts.flats[std::size_t(r.flat)].name;
  std::int64_t const times = executions(p, r);
  line(out, "    " + column(word(r.op), 15) + column(flat, 12) +
                right(std::to_string(times) + " x", 7) +
                right(r.payload ? human(r.payload) : "", 10) +
                right(r.payload ? human(r.copied) : "", 10) + " " + column(word(r.stream), 8) +
                notes(p, r));
}

inline void render_rows(Plan const& p, Pass pass, int segment, std::string& out) {
  Range const range = p.rows_of(pass, segment);
  if (range.begin == range.end) return;
  if (segment >= 0) {
    SegmentInfo const& s = p.facts.segments[std::size_t(segment)];
    line(out, "  " + std::string(s.name) +
                  (s.layers > 1 ? ", each of " + count(s.layers, "layer") : ""));
  }
  for (int i = range.begin; i < range.end; ++i) render_row(p, p.rows[std::size_t(i)], out);
}

/// What is stored in 16 bits and what is not.
inline void render_precision(Plan const& p, std::string& out) {
  Layout const& l = p.layout;
  if (l.low == DType::real) return;
  if (l.stochastic) {
    line(out, "stored      weights, activations and the optimizer's states as bf16; a step rounds");
    line(out, "            weights and states stochastically");
  } else if (l.low == DType::bf16) {
    line(out, "stored      weights and activations as bf16, and beside the optimizer's states");
    line(out, "            the 16 bits that make a weight exact");
  } else {
    line(out, "stored      weights and activations as fp16, and beside the optimizer's states");
    line(out, "            exact weights as float; products convert fp16 to float on the way");
    line(out, "overflow    the loss is scaled; a step whose gradient overflows is skipped");
  }
  std::string full;
  std::int64_t elements = 0;
  for (FlatInfo const& f : p.facts.flats)
    if (f.full) {
      full += (full.empty() ? "" : ", ") + std::string(f.name);
      elements += f.layers * f.elements;
    }
  if (elements > 0) line(out, "float       " + std::to_string(elements) + " parameters in " + full);
}

inline void render_model(Plan const& p, std::string& out) {
  std::int64_t elements = 0;
  Bytes bytes = 0;
  for (int f = 0; f < p.flats(); ++f) {
    FlatInfo const& flat = p.facts.flats[std::size_t(f)];
    elements += flat.layers * flat.elements;
    bytes += flat.layers * flat.elements * p.weight(f);
  }
  out += "model       ";
  for (int s = 0; s < p.segments(); ++s) {
    SegmentInfo const& segment = p.facts.segments[std::size_t(s)];
    out += (s ? ", " : "") + std::string(segment.name);
    if (segment.layers > 1) out += " x " + std::to_string(segment.layers);
  }
  out += "; " + std::to_string(elements) + " parameters, " + human(bytes) + "\n";
}

/// What ops that do several formulas at once leave unread and unwritten.
inline void render_fusions(Plan const& p, std::string& out) {
  if (p.facts.fusions.empty()) return;
  line(out, "fused, bytes saved per rank and step");
  for (FusionInfo const& f : p.facts.fusions) {
    SegmentInfo const& s = p.facts.segments[std::size_t(f.segment)];
    std::int64_t const times = std::int64_t(s.layers) * p.micros;
    line(out, "  " + column(s.name, 12) + right(std::to_string(times * f.ops) + " x", 7) +
                  right(human(times * f.saved), 10) + std::string(f.name));
  }
  out += "\n";
}

/// Who computes what, where there is a choice. A GPU that refuses is told of when a run starts.
inline void render_choices(Plan const& p, std::string& out) {
  bool any = false;
  for (ChoiceInfo const& c : p.facts.choices) {
    SegmentInfo const& s = p.facts.segments[std::size_t(c.segment)];
    if (!std::exchange(any, true)) line(out, "computed, per rank and step, by");
    line(out, "  " + column(s.name, 12) +
                  right(std::to_string(std::int64_t(s.layers) * p.micros * c.ops) + " x", 7) +
                  column(c.op, 14) + std::string(c.by));
  }
  if (any) out += "\n";
}

}  // namespace detail

/// What a rank allocates: every family, and the sum.
inline std::string render_memory(Plan const& p) {
  Placement const m = place(p);
  std::string out;
  detail::line(out, "memory of a rank");
  for (int i = 0; i < families; ++i) {
    Buffer const& b = m.of(Family(i));
    if (b.bytes == 0) continue;
    detail::line(out, "  " + detail::column(word(Family(i)), 20) +
                          detail::column(word(b.arena), 22) + detail::right(human(b.bytes), 10));
  }
  detail::line(out, "  " + detail::column("peak", 20) +
                        detail::column("private + window share", 22) +
                        detail::right(human(peak(p)), 10));
  return out;
}

inline std::string render(Plan const& p) {
  std::string out;
  bool const train = p.kind == Kind::train;
  detail::line(out, train ? "plan of one training step" : "plan of one evaluation");
  detail::render_model(p, out);
  detail::line(out, "ranks       " + detail::count(p.mesh.data, "data rank") + " in " +
                        detail::count(p.mesh.domains(), "memory domain"));
  detail::line(
      out,
      "policies    " +
          std::string(p.layout.low == DType::bf16   ? "Precision<bf16>, "
                      : p.layout.low == DType::fp16 ? "Precision<fp16>, "
                                                    : "") +
          (p.layout.stochastic ? "StochasticRounding, " : "") + "Zero<" +
          std::to_string(p.layout.zero) + ">" +
          (train ? std::string(", Reduce<") + (p.mode == Reduction::step ? "Step" : "Micro") + ">"
                 : "") +
          (p.layout.clip ? ", ClipNorm" : "") + (p.layout.gpu ? ", On<Cuda>" : "") +
          (p.layout.graphs ? ", Graphs" : "") +
          (train && p.layout.unordered ? ", UnorderedReduce" : "") +
          (train && p.layout.strict > 0 ? ", Strict<" + std::to_string(p.layout.strict) + ">"
                                        : ""));
  detail::render_precision(p, out);
  detail::line(out, "each rank   " + std::to_string(p.micros) +
                        (p.micros == 1 ? " micro-batch" : " micro-batches") + " of " +
                        detail::batch_in_words(p.facts.samples) + ", one after another");
  if (train && p.layout.strict > 0)
    detail::line(
        out, "gradients   of " + detail::count(p.tree().leaf, "sample") + " added in order, then " +
                 detail::count(p.tree().leaves * p.mesh.data, "such sum") + " by a binary tree");
  if (train && p.layout.gpu && p.sharded())
    detail::line(out, p.layout.unordered
                          ? "reduce      sums over ranks by NCCL, in an order of its own"
                          : "reduce      parts of ranks are exchanged, and added in rank order");
  out += "\n";
  detail::line(out, "    " + detail::column("what", 15) + detail::column("of", 12) +
                        detail::right("times", 7) + detail::right("payload", 10) +
                        detail::right("copied", 10) + " " + detail::column("stream", 8) + "notes");
  detail::line(out, "every micro-batch");
  detail::render_rows(p, Pass::begin, -1, out);
  detail::line(out,
               train ? "forward, first to last; the last segment runs in backward" : "forward");
  for (int s = 0; s < p.segments(); ++s) detail::render_rows(p, Pass::forward, s, out);
  if (train) detail::line(out, "backward, last to first");
  for (int s = p.segments(); s-- > 0;) detail::render_rows(p, Pass::backward, s, out);
  detail::line(out, train ? "update, once a step" : "end");
  detail::render_rows(p, Pass::update, -1, out);
  out += "\n";
  detail::line(out, "bytes per rank and step");
  for (Do op : {Do::gather, Do::reduce, Do::gather_gradient, Do::exchange, Do::exchange_sums,
                Do::gather_update})
    if (payload(p, op) > 0)
      detail::line(out, "  " + detail::column(word(op), 15) +
                            detail::right(human(payload(p, op)), 10) + "payload " +
                            detail::right(human(copied(p, op)), 10) + "copied");
  detail::line(out, "  " + detail::column("all", 15) + detail::right(human(payload(p)), 10) +
                        "payload " + detail::right(human(copied(p)), 10) + "copied");
  if (!train) return out;
  out += "\n";
  detail::render_fusions(p, out);
  detail::render_choices(p, out);
  out += render_memory(p);
  return out;
}

}  // namespace tessera::inline TESSERA_SETTING
