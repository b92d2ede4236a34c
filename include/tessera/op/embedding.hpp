/// Rows of a table: by token, and by position.
#pragma once

#include <tessera/backend/sort.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/elementwise.hpp>
#include <tessera/kernels/embedding.hpp>

namespace tessera::inline TESSERA_SETTING {

struct EmbedWeight {  // dtable[token[r], :] (+)= dy[r, :]; operands: dy, tokens, table
  static constexpr std::string_view name = "embedding_dw";
  static constexpr Traits traits{.accumulates = 1};
  static constexpr auto adjoint = backward_only;
  static constexpr int inputs = 2;
  static constexpr Shape shape(Shape dy, Shape, int vocabulary) {
    return shape_of(vocabulary, dy[-1]);
  }
};
struct Embed {
  static constexpr std::string_view name = "embedding";
  static constexpr Traits traits{.vocabulary = 1, .low_in = 0b10};
  static constexpr Shape shape(Shape tokens, Shape table) {
    if (tokens.rank != 2 || table.rank != 2)
      throw "embedding: expects tokens [sequences, tokens] and a table [vocabulary, C]";
    return shape_of(tokens[0], tokens[1], table[1]);
  }
  static constexpr double flops(Signature const&) { return 0; }
  static constexpr void adjoint(auto& d) {
    d.to(1, apply<EmbedWeight>(Settings{.attribute = int(d.in(1).shape()[0])}, d.dy(), d.in(0)));
  }
};
template <class B>
struct kernels<Embed, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> y, View<std::int32_t const> tokens,
                  View<Low const> table) {
    team.run(kernel::EmbeddingForward<Real, Low>{.y = y, .tokens = tokens, .table = table});
  }
};
template <class B>
struct kernels<EmbedWeight, B> {
  template <Team T>
  static void run(T const& team, View<Real> dtable, View<Real const> dy,
                  View<std::int32_t const> tokens) {
    team.run(kernel::EmbeddingBackward<Real>{
        .dtable = dtable, .dy = dy, .tokens = tokens, .accumulate = team.accumulate[0]});
  }
};

/// By token and then by position, so that every token is summed at the same time as the others:
/// the additions of cores, in their order.
template <Sorts B>
struct kernels<EmbedWeight, B> {
  using Sort = typename B::template Sort<std::int32_t>;
  static constexpr Bytes workspace(Signature const& s) { return Sort::workspace(s.in[1].count()); }
  static Sort prepare(Signature const& s) { return {s.in[1].count(), s.out[0]}; }
  static void run(Call const& c, View<Real> dtable, View<Real const> dy,
                  View<std::int32_t const> tokens) {
    auto const sorted = static_cast<Sort*>(c.state)->run(tokens.at, c.workspace, c.queue);
    auto const team = B::team::on(c.queue);
    if (!c.accumulate[0]) team.run(kernel::Clear<Real>{.y = dtable});
    team.run(kernel::EmbeddingRuns<Real>{
        .dtable = dtable, .dy = dy, .tokens = sorted.indices, .places = sorted.places});
  }
};

struct AddPositionWeight {  // attribute: rows of the table
  static constexpr std::string_view name = "position_dw";
  static constexpr Traits traits{.accumulates = 1};
  static constexpr auto adjoint = backward_only;
  static constexpr int inputs = 1;
  static constexpr Shape shape(Shape dy, int rows) { return shape_of(rows, dy[-1]); }
};
struct AddPosition {
  static constexpr std::string_view name = "position";
  static constexpr Traits traits{.overwrites = 0b1, .low_in = 0b10};
  static constexpr ShapeFault check(Shape x, Shape table) {
    if (x[1] > table[0]) return {x[1], table[0]};
    return {x[-1], table[1]};
  }
  static constexpr Shape shape(Shape x, Shape table) {
    if (x.rank != 3 || x[1] > table[0])
      throw "position: more tokens than the position table has rows; give it as many as Batch";
    if (x[-1] != table[1]) throw "position: the value's width differs from the table's";
    return x;
  }
  static constexpr void adjoint(auto& d) {
    d.to(1, apply<AddPositionWeight>(Settings{.attribute = int(d.in(1).shape()[0])}, d.dy()));
    d.to(0, d.dy());
  }
};
template <class B>
struct kernels<AddPosition, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> y, View<Real const> x, View<Low const> table) {
    team.run(kernel::PositionForward<Real, Low>{.y = y, .x = x, .table = table});
  }
};
template <class B>
struct kernels<AddPositionWeight, B> {
  template <Team T>
  static void run(T const& team, View<Real> dtable, View<Real const> dy) {
    team.run(kernel::PositionBackward<Real>{
        .dtable = dtable, .dy = dy, .accumulate = team.accumulate[0]});
  }
};
static_assert(complete<Embed> && complete<EmbedWeight> && complete<AddPosition> &&
              complete<AddPositionWeight>);

/// tokens [sequences, tokens] -> [sequences, tokens, C]
constexpr Value embedding(Value tokens, ParameterSlot const& table) {
  return apply<Embed>(tokens, table);
}
/// x [sequences, tokens, C] + table[t, :]
constexpr Value add_position(Value x, ParameterSlot const& table) {
  return apply<AddPosition>(x, table);
}

}  // namespace tessera::inline TESSERA_SETTING
