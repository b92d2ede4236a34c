/// Refusals about layers and how they compose. Numbers are template arguments, so that every
/// compiler prints them.
#pragma once

#include <tessera/graph/graph.hpp>

namespace tessera::inline TESSERA_SETTING::rule {

template <class Layer>
struct LayerIsAggregate {
  static_assert(
      __is_aggregate(Layer),
      "tessera: a layer or model is an aggregate: public members, no constructor, no base; "
      "give members default values instead of a constructor");
};
template <class Layer, bool Has>
struct LayerHasCall {
  static_assert(Has, "tessera: a layer needs constexpr Value operator()(Value) const");
};
template <class Layer, bool Constexpr>
struct CallIsConstexpr {
  static_assert(Constexpr,
                "tessera: a layer's call operator must be constexpr, and call only constexpr "
                "functions: the model is traced while the program compiles");
};
/// Op: see the op's table in the message; Has, Wants: the extents that differ.
template <class Layer, Op const* Op, std::int64_t Has, std::int64_t Wants>
struct ShapesAgree {
  static_assert(
      Has == Wants,
      "tessera: inside this layer an op's operands do not fit together: Has is the extent "
      "it got, Wants the extent it takes; the chain of layers is in the notes");
};
/// Integers are tokens and labels; HasIntegers is what the operand is.
template <class Layer, Op const* Op, bool HasIntegers, bool WantsIntegers>
struct TypesAgree {
  static_assert(HasIntegers == WantsIntegers,
                "tessera: inside this layer an op reads integers as numbers, or numbers as "
                "integers: what Batch and Labels bring are integers, all else are numbers");
};
template <class Layer, std::int64_t Window, std::int64_t Most>
struct WindowIsSmaller {
  static_assert(Window <= Most,
                "attention: a window of all tokens or more hides nothing: leave it out, or make it "
                "at most Most, one less than the tokens of Batch<Sequences, Tokens>");
};
template <class Layer, int Index>
struct ParametersAreUsed {
  static_assert(Index < 0,
                "tessera: a parameter of this layer is not used by its call operator (Index counts "
                "its parameters from 0): use it or remove it");
};
template <class Layer, int Index>
struct ParametersAreReached {
  static_assert(Index < 0,
                "tessera: no op gives this parameter of the layer a gradient, or this running "
                "statistic a change (Index counts its parameters from 0): name the operand in the "
                "adjoint of the op that reads it, or freeze it");
};
template <Op const* Op>
struct OpIsDifferentiable {
  static_assert(Op == nullptr,
                "tessera: this op has no adjoint and stands between a parameter and the loss; give "
                "it an adjoint, or freeze the parameters before it");
};
template <class Layer, bool Same>
struct RepeatKeepsShape {
  static_assert(Same, "Repeat<Count, Layer>: the layer's output must have the shape of its input");
};
template <class Layer, int Count>
struct FirstSegmentIsOne {
  static_assert(Count == 1,
                "Repeat<Count, Layer>: a model's first segment reads the batch, so it has one "
                "layer; put one before the Repeat");
};
template <class Layer, std::int64_t Has, std::int64_t Wants, bool Scaled>
struct LastSegmentIsLoss {
  static_assert(Has == Wants && !Scaled,
                "tessera: a model's last segment returns the loss: with Batch one number, such as "
                "linear_cross_entropy(x, weight), with Samples<Count, Input, Target> one for each "
                "of the Count samples");
};
template <int Width, int Heads>
struct HeadsDivideWidth {
  static_assert(Heads > 0 && Width % Heads == 0,
                "attention: Width must be a multiple of Heads; change one of them");
};
template <int Heads, int KvHeads>
struct KvHeadsDivideHeads {
  static_assert(KvHeads > 0 && Heads % KvHeads == 0,
                "attention: Heads must be a multiple of KvHeads, the key and value heads that they "
                "share; change one of them");
};
template <int HeadWidth>
struct HeadWidthIsEven {
  static_assert(
      HeadWidth > 0 && HeadWidth % 2 == 0 && HeadWidth <= 2048,
      "Rope<Heads, HeadWidth>: elements of a head rotate in pairs: HeadWidth must be even, "
      "2 to 2048");
};
template <std::int64_t First, std::int64_t Second>
struct VocabulariesAgree {
  static_assert(First == Second,
                "tessera: the embedding and the loss have different vocabularies: give both the "
                "number of tokens of the data");
};
template <std::int64_t First, std::int64_t Second>
struct TiedShapesAgree {
  static_assert(First == Second,
                "Tied<Name, Extents...>: parameters of one name must have one shape");
};

template <int Index>
struct FrozenMatches {
  static_assert(Index < 0,
                "Frozen<\"pattern\">: no parameter has such a path (Index counts the patterns from "
                "0); paths are like blocks.*.mlp.up.weight");
};

template <int Index>
struct KeepFloatMatches {
  static_assert(Index < 0,
                "KeepFloat<\"pattern\">: no parameter has such a path (Index counts the patterns "
                "from 0); paths are like blocks.*.mlp.up.weight");
};

}  // namespace tessera::inline TESSERA_SETTING::rule
