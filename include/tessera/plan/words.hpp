/// Plan values in words, for tables and messages.
#pragma once

#include <tessera/plan/family.hpp>
#include <tessera/plan/verify.hpp>

#include <cstdio>
#include <string>

namespace tessera::inline TESSERA_SETTING {

constexpr std::string_view word(Do op) {
  switch (op) {
    case Do::load: return "load";
    case Do::gather: return "gather";
    case Do::release: return "release";
    case Do::forward: return "forward";
    case Do::backward: return "backward";
    case Do::merge: return "merge";
    case Do::merge_uses: return "merge uses";
    case Do::barrier: return "barrier";
    case Do::reduce: return "reduce";
    case Do::gather_gradient: return "gather gradient";
    case Do::norm: return "norm";
    case Do::exchange: return "exchange";
    case Do::prepare: return "prepare";
    case Do::exchange_sums: return "exchange sums";
    case Do::gather_update: return "gather update";
    case Do::orthogonalize: return "orthogonalize";
    case Do::step: return "step";
  }
  return "";
}

constexpr std::string_view word(When when) {
  switch (when) {
    case When::every: return "every";
    case When::first: return "first";
    case When::last: return "last";
    case When::not_first: return "not first";
    case When::not_last: return "not last";
  }
  return "";
}

constexpr std::string_view word(Stream stream) {
  switch (stream) {
    case Stream::compute: return "compute";
    case Stream::gather: return "gather";
    case Stream::reduce: return "reduce";
  }
  return "";
}

constexpr std::string_view word(Family family) {
  switch (family) {
    case Family::weights: return "weights";
    case Family::gathered: return "gathered weights";
    case Family::gradients: return "gradients";
    case Family::use_gradients: return "gradients of uses";
    case Family::partial_gradients: return "partial gradients";
    case Family::gradient_slots: return "gradient slots";
    case Family::gradient_shares: return "gradient shares";
    case Family::whole_gradients: return "whole gradients";
    case Family::optimizer: return "optimizer states";
    case Family::boundary_gradients: return "their gradients";
    case Family::forward: return "forward values";
    case Family::scratch: return "scratch";
    case Family::workspace: return "kernel workspace";
    case Family::batch: return "batch";
    case Family::exchange: return "exchange";
    case Family::losses: return "losses";
    case Family::norms: return "norms";
    case Family::sums: return "sums over tensors";
    case Family::update: return "update of a layer";
  }
  return "";
}

constexpr std::string_view word(Arena arena) {
  switch (arena) {
    case Arena::own: return "private";
    case Arena::rank: return "window, each rank";
    case Arena::domain: return "window, once a domain";
    case Arena::host: return "private, on the host";
  }
  return "";
}

/// What is wrong with a plan, as the end of a sentence that starts with "this plan".
constexpr std::string_view word(Wrong what) {
  switch (what) {
    case Wrong::nothing: return "is sound";
    case Wrong::facts_disagree: return "describes a segment and its flat buffers differently";
    case Wrong::batch_not_loaded: return "computes without its micro-batch";
    case Wrong::forward_out_of_turn: return "runs a forward pass out of turn, twice or never";
    case Wrong::backward_out_of_turn: return "runs a backward pass out of turn, twice or never";
    case Wrong::weights_not_gathered: return "reads weights that were not gathered";
    case Wrong::weights_gathered_twice: return "gathers weights over weights still in use";
    case Wrong::release_without_gather: return "releases weights that were not gathered";
    case Wrong::weights_not_released: return "never releases gathered weights";
    case Wrong::gradient_not_complete: return "reduces a gradient before all of it is there";
    case Wrong::gradient_merged_twice: return "adds up the samples of a gradient twice";
    case Wrong::gradient_not_reduced: return "uses a gradient that was not reduced";
    case Wrong::gradient_reduced_twice: return "reduces or gathers a gradient twice";
    case Wrong::gradient_not_gathered: return "steps whole weights with a part of the gradient";
    case Wrong::norm_missing: return "leaves a gradient out of the norm";
    case Wrong::norm_twice: return "counts a gradient twice in the norm";
    case Wrong::exchange_missing: return "steps or ends without exchanging norms and losses";
    case Wrong::exchange_twice: return "exchanges norms and losses twice";
    case Wrong::not_prepared: return "steps, or exchanges sums over tensors, before it prepares";
    case Wrong::prepared_twice: return "prepares a step twice";
    case Wrong::update_overwritten: return "prepares an update over one that is still in use";
    case Wrong::update_not_gathered: return "orthogonalizes parts of matrices";
    case Wrong::update_gathered_twice: return "gathers an update twice";
    case Wrong::not_orthogonalized: return "steps matrices with an update that is not orthogonal";
    case Wrong::orthogonalized_twice: return "orthogonalizes an update twice";
    case Wrong::sums_missing: return "steps without exchanging sums over tensors";
    case Wrong::sums_twice: return "exchanges sums over tensors twice";
    case Wrong::step_missing: return "does not step, or publishes before it steps";
    case Wrong::step_twice: return "steps weights twice";
    case Wrong::step_not_published: return "hides stepped weights from the other ranks";
    case Wrong::ranks_race: return "lets two ranks touch the same bytes without a barrier between";
    case Wrong::stream_of_another: return "has a row on another stream than that of its kind";
    case Wrong::streams_race: return "lets two streams touch the same bytes without a wait between";
  }
  return "";
}

/// "1.25 MiB"; below 10 KiB in bytes.
inline std::string human(Bytes n) {
  static constexpr char const* units[] = {"KiB", "MiB", "GiB", "TiB"};
  if (n < 10 * 1024) return std::to_string(n) + " B";
  double x = double(n) / 1024;
  int unit = 0;
  for (; x >= 1000 && unit < 3; ++unit) x /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", x < 10 ? 2 : x < 100 ? 1 : 0, x, units[unit]);
  return text;
}

}  // namespace tessera::inline TESSERA_SETTING
