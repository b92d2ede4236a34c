/// Policies, in any order, to one Layout; refuses doubles, conflicts and what is missing.
#pragma once

#include <tessera/policy/policy.hpp>
#include <tessera/policy/strict.hpp>

namespace tessera::inline TESSERA_SETTING {

struct StepRange;
struct StepValues;

namespace rule {

template <class NotAPolicy, bool Is>
struct IsPolicy {
  static_assert(Is,
                "Trainer<Model, Policies...>: this is not a policy; a policy has a name and a "
                "static constexpr void set(Layout&)");
};
template <class Policy, int Times>
struct PolicyOnce {
  static_assert(AtMost<Times, 1>,
                "Trainer<Model, Policies...>: a policy is given more than once; keep one of them");
};
template <bool Agree>
struct GraphsNeedGpu {
  static_assert(Agree, "Graphs: only work on a GPU can be captured; add On<Cuda> or leave it out");
};
template <bool Agree>
struct UnorderedReduceNeedsGpu {
  static_assert(Agree,
                "UnorderedReduce: NCCL sums what lies on GPUs; add On<Cuda> or leave it out");
};
template <int Batches>
struct BatchIsGiven {
  static_assert(Positive<Batches>,
                "Trainer<Model, Policies...>: the micro-batch is missing; add Batch<Sequences, "
                "Tokens> or Samples<Count, Input, Target>");
};
template <int Optimizers>
struct OneOptimizer {
  static_assert(Optimizers == 1,
                "Trainer<Model, Policies...>: give exactly one optimizer, such as AdamW");
};
template <class Optimizer, bool Has>
struct OptimizerPrepares {
  static_assert(Has,
                "an optimizer that works across tensors (layout.across) needs a first pass: static "
                "void prepare(Team auto const&, StepRange const&, StepValues const&)");
};
template <int Accumulates, int GlobalBatches>
struct AccumulateOrGlobalBatch {
  static_assert(AtMost<Accumulates + GlobalBatches, 1>,
                "Accumulate<N> and GlobalBatch<N> both say how many micro-batches a step has; "
                "keep one of them");
};
template <DType Stored, bool Bf16>
struct StochasticRoundingOfBf16 {
  static_assert(Bf16,
                "StochasticRounding: it rounds to bf16; add Precision<bf16>, or leave it out");
};
template <class Optimizer, bool Rounds>
struct OptimizerRoundsStochastically {
  static_assert(Rounds,
                "StochasticRounding: this optimizer steps float states only; use AdamW, Adam, Sgd, "
                "Adagrad or Lion, or leave StochasticRounding out");
};
template <int Patterns, int Most>
struct FrozenAtMost {
  static_assert(AtMost<Patterns, Most>,
                "Frozen<\"pattern\">: too many patterns; join some of them with '*'");
};

template <int Patterns, int Most>
struct KeepFloatAtMost {
  static_assert(AtMost<Patterns, Most>,
                "KeepFloat<\"pattern\">: too many patterns; join some of them with '*'");
};

}  // namespace rule

namespace detail {

template <class... P>
constexpr int named(std::string_view name) {
  return (0 + ... + int(P::name == name));
}
template <class P>
constexpr bool repeatable() {
  if constexpr (requires { P::repeats; })
    return P::repeats;
  else
    return false;
}
template <class P>
constexpr bool optimizes() {
  if constexpr (requires { P::is_optimizer; })
    return P::is_optimizer;
  else
    return false;
}

template <class P>
constexpr bool rounds_stochastically() {
  if constexpr (requires { P::rounds_stochastically; })
    return P::rounds_stochastically;
  else
    return !optimizes<P>();
}
template <class... P>
constexpr DType stored() {
  Layout layout;
  (P::set(layout), ...);
  return layout.low;
}

/// Stands for every backend's team.
struct AnyTeam {
  static constexpr bool is_team = true;
};
template <class P>
constexpr bool prepares() {
  return requires(AnyTeam const& team, StepRange const& range, StepValues const& values) {
    P::prepare(team, range, values);
  };
}
template <class P>
constexpr Across across() {
  Layout layout;
  P::set(layout);
  return layout.across;
}
template <class P>
constexpr bool prepared() {
  return across<P>() == Across::nothing || prepares<P>();
}

template <class... P>
struct AreSound {
  static constexpr bool sound = ((sizeof(rule::IsPolicy<P, Policy<P>>) > 0) && ...);
};
template <class P, class... All>
struct IsSingle
    : rule::PolicyOnce<P, repeatable<P>() ? 1 : named<All...>(P::name)>,
      rule::OptimizerPrepares<P, prepared<P>()>,
      rule::OptimizerRoundsStochastically<P, rounds_stochastically<P>() ||
                                                 named<All...>("StochasticRounding") == 0> {};
template <class... P>
struct Singles {
  static constexpr bool sound = ((sizeof(IsSingle<P, P...>) > 0) && ...);
};
template <class... P>
constexpr Layout all_set() {
  Layout layout;
  (P::set(layout), ...);
  split_samples(layout);
  return layout;
}

template <bool IsStrict, Reduction Reduce, bool Unordered, Across A>
struct StrictAgrees : rule::StrictReducesOnce<(IsStrict && Reduce == Micro)>,
                      rule::StrictReducesInOrder<(IsStrict && Unordered)>,
                      rule::StrictTakesNoSums<(IsStrict && A == Across::sums)> {};
template <class... P>
struct Agree
    : rule::BatchIsGiven<named<P...>("Batch")>,
      rule::OneOptimizer<(0 + ... + int(optimizes<P>()))>,
      rule::AccumulateOrGlobalBatch<named<P...>("Accumulate"), named<P...>("GlobalBatch")>,
      StrictAgrees<(all_set<P...>().strict > 0), all_set<P...>().reduce, all_set<P...>().unordered,
                   all_set<P...>().across>,
      rule::GraphsNeedGpu<!all_set<P...>().graphs || all_set<P...>().gpu>,
      rule::UnorderedReduceNeedsGpu<!all_set<P...>().unordered || all_set<P...>().gpu>,
      rule::StochasticRoundingOfBf16<stored<P...>(), named<P...>("StochasticRounding") == 0 ||
                                                         stored<P...>() == DType::bf16>,
      rule::FrozenAtMost<named<P...>("Frozen"), most_frozen>,
      rule::KeepFloatAtMost<named<P...>("KeepFloat"), most_full> {};

}  // namespace detail

/// The order of Policies does not matter.
template <class... Policies>
constexpr Layout fold() {
  static_assert(detail::AreSound<Policies...>::sound && detail::Singles<Policies...>::sound &&
                sizeof(detail::Agree<Policies...>) > 0);
  return detail::all_set<Policies...>();
}

}  // namespace tessera::inline TESSERA_SETTING
