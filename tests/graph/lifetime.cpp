#include <tessera/graph/lifetime.hpp>

#include <tessera/graph/generate.hpp>
#include <tessera/layer/gpt2.hpp>
#include <tessera/op/bias.hpp>

#include <doctest/doctest.h>

#include <sstream>
#include <string>

namespace {

using namespace tessera;

template <int Sequences, int Tokens>
struct Micro {
  static constexpr int sequences = Sequences, tokens = Tokens;
  static constexpr std::span<std::string_view const> frozen{};
};
using S = Micro<2, 8>;
/// Values so small that 16-bit ones take as much room as floats.
struct Low : Micro<1, 2> {
  static constexpr DType low = DType::bf16;
};

/// Runs a graph on memory that remembers which node wrote each of its places: what a node reads
/// must still be what it asks for. Returns the first node that finds something else, as text.
class Interpreter {
 public:
  Interpreter(std::span<Node const> g, std::span<Slot const> slots, bool loss)
      : g_(g), slots_(slots), loss_(loss), gradient_(g.size(), 0) {}

  std::string run() {
    int const n = int(g_.size());
    bool forward = true;
    for (int i = 0; i < n && fault_.empty(); ++i) {
      if (forward && g_[std::size_t(i)].part == Part::backward) {
        forward = false;
        std::erase_if(memory_, [](Written const& w) { return w.region == Region::scratch; });
      }
      execute(i);
    }
    int const result = forward_nodes(g_) - 1;
    for (int i = 0; i < n && fault_.empty(); ++i) {
      Node const& x = g_[std::size_t(i)];
      if (x.grad >= 0 &&
          (slots_[std::size_t(x.grad)].region != Region::input_gradient || !holds(x.grad)))
        fail(i, "the input's gradient is not where the segment before looks for it");
      if (x.op && x.op->traits.result_in_backward > 0 &&
          !holds(x.extra[std::size_t(x.op->traits.result_in_backward - 1)]))
        fail(i, "the loss that it has computed has been overwritten");
    }
    if (fault_.empty() && !g_[std::size_t(result)].skip_in_training && !holds(result))
      fail(result, "the result has been overwritten");
    return fault_;
  }

 private:
  struct Written {
    Region region;
    Bytes begin, end;
    int node;
  };
  void fail(int node, std::string const& why) {
    if (fault_.empty()) fault_ = "node " + std::to_string(node) + ": " + why;
  }
  bool moves(int i) const {  // has a place that others may take
    Region const r = slots_[std::size_t(i)].region;
    return r != Region::none && r != Region::parameter && r != Region::batch &&
           r != Region::gradient && r != Region::input && r != Region::output_gradient;
  }
  bool holds(int i) const {
    Slot const& s = slots_[std::size_t(i)];
    for (Written const& w : memory_)
      if (w.node == i && w.region == s.region && w.begin == s.offset) return true;
    return false;
  }
  bool overlap(int a, int b) const {
    Slot const &x = slots_[std::size_t(a)], &y = slots_[std::size_t(b)];
    return moves(a) && x.region == y.region && x.offset < y.offset + y.bytes &&
           y.offset < x.offset + x.bytes;
  }
  void write(int i) {
    Node const& x = g_[std::size_t(i)];
    if (x.grad_of >= 0) {  // the first contribution sets, all others add
      char& seen = gradient_[std::size_t(x.grad_of)];
      if (x.accumulate != (seen != 0)) fail(i, "a gradient is set twice, or added to nothing");
      seen = 1;
      return;
    }
    if (!moves(i)) return;
    Slot const& s = slots_[std::size_t(i)];
    std::erase_if(memory_, [&](Written const& w) {
      return w.region == s.region && w.begin < s.offset + s.bytes && s.offset < w.end;
    });
    memory_.push_back({s.region, s.offset, s.offset + s.bytes, i});
  }
  void execute(int i) {
    Node const& x = g_[std::size_t(i)];
    if (x.role == Role::seed && loss_) write(i);  // the executor puts a 1 there
    if (!x.op || x.skip_in_training) return;
    std::vector<int> outputs{i};
    for (int e : x.extra)
      if (e >= 0) outputs.push_back(e);
    for (int j : x.in) {
      if (j < 0) continue;
      if (moves(j) && !holds(j)) fail(i, "operand " + std::to_string(j) + " is not there any more");
      if (g_[std::size_t(j)].grad_of >= 0) fail(i, "reads a gradient buffer");
      for (int o : outputs)
        if (overlap(o, j) &&
            (g_[std::size_t(o)].alias != j ||
             size_of(g_[std::size_t(o)].dtype) != size_of(g_[std::size_t(j)].dtype)))
          fail(i, "writes over operand " + std::to_string(j) + " while it reads it");
    }
    for (std::size_t a = 0; a < outputs.size(); ++a)
      for (std::size_t b = a + 1; b < outputs.size(); ++b)
        if (overlap(outputs[a], outputs[b])) fail(i, "two outputs share a place");
    for (int o : outputs) write(o);
    for (int o : outputs)
      if (moves(o) && !holds(o)) fail(i, "an output is lost at once");
  }

  std::span<Node const> g_;
  std::span<Slot const> slots_;
  bool loss_;
  std::vector<char> gradient_;
  std::vector<Written> memory_;
  std::string fault_;
};

/// In-place chances that must not be taken: values read again later, or twice by one op.
struct Tricky {
  LayerNorm<16> norm;
  Linear<16, 16> up;
  Param<16> shift;
  constexpr Value operator()(Value x) const {
    auto const a = bias(x, shift);
    auto const b = a + a;
    auto const c = gelu(b) * gelu(a);
    auto const d = gelu(norm(c) + b);
    return bias(d * (up(d) + c) + x, shift);
  }
};
struct TrickyModel {
  TokenAndPositionEmbedding<32, 8, 16> embed;
  Repeat<2, Tricky> blocks;
  TiedLmHead<32, 16> head;
};
using Gpt = Gpt2<2, 16, 2, 32, 8>;

template <class Model, int I, class Setting = S>
int check() {
  constexpr bool loss = I == segments<Model> - 1;
  constexpr auto const& g = graph<Model, I, Setting>;
  Lifetimes const l = lay_out(g, loss);
  INFO(field_name<Model, I>);
  CHECK(Interpreter(g, slots<Model, I, Setting>, loss).run() == "");
  CHECK(disjoint(g, l));
  CHECK(l.scratch >= l.scratch_alive);
  for (std::size_t i = 0; i < g.size(); ++i) {
    CHECK(l.slots[i].offset % buffer_alignment == 0);
    CHECK(l.slots[i].offset == slots<Model, I, Setting>[i].offset);
  }
  int in_place = 0;
  for (Node const& n : g) in_place += n.alias >= 0;
  return in_place;
}

TEST_CASE("nothing that is still read is overwritten, in the segments of a GPT-2") {
  check<Gpt, 0>();
  CHECK(check<Gpt, 1>() >= 4);
  check<Gpt, 2>();
}
TEST_CASE("nothing is overwritten by values of another type") {
  check<Gpt, 0, Low>();
  check<Gpt, 1, Low>();
  check<Gpt, 2, Low>();
}
TEST_CASE("nothing that is still read is overwritten where in-place is tempting") {
  check<TrickyModel, 0>();
  CHECK(check<TrickyModel, 1>() >= 2);
  check<TrickyModel, 2>();
}
TEST_CASE("nothing that is still read is overwritten while a model writes text") {
  CHECK(Interpreter(generate_graph<Gpt, 1, S>, generate_slots<Gpt, 1, S>, false).run() == "");
  CHECK(Interpreter(generate_graph<Gpt, 2, S>, generate_slots<Gpt, 2, S>, false).run() == "");
  CHECK(generate_scratch<Gpt, S> > 0);
}
TEST_CASE("the interpreter finds a value that is overwritten too early") {
  auto g = graph<Gpt, 1, S>;
  auto s = slots<Gpt, 1, S>;
  for (std::size_t i = 0; i < g.size(); ++i)
    if (s[i].region == Region::kept && s[i].offset > 0) s[i].offset -= buffer_alignment;
  CHECK(Interpreter(g, s, false).run() != "");
  Lifetimes broken = lay_out(g, false);
  for (Slot& slot : broken.slots)
    if (slot.region == Region::scratch) slot.offset = 0;
  CHECK_FALSE(disjoint(g, broken));
}

}  // namespace
