/// The whole library: its table of contents.
#pragma once

// What users compose.
#include <tessera/layer/attention.hpp>
#include <tessera/layer/dropout.hpp>
#include <tessera/layer/embedding.hpp>
#include <tessera/layer/gpt2.hpp>
#include <tessera/layer/head.hpp>
#include <tessera/layer/linear.hpp>
#include <tessera/layer/llama.hpp>
#include <tessera/layer/mlp.hpp>
#include <tessera/layer/norm.hpp>
#include <tessera/layer/rope.hpp>
#include <tessera/op/bias.hpp>
#include <tessera/op/silu.hpp>

// How it is laid out.
#include <tessera/policy/accumulate.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/clip_norm.hpp>
#include <tessera/policy/frozen.hpp>
#include <tessera/policy/global_batch.hpp>
#include <tessera/policy/graphs.hpp>
#include <tessera/policy/keep_float.hpp>
#include <tessera/policy/on.hpp>
#include <tessera/policy/precision.hpp>
#include <tessera/policy/reduce.hpp>
#include <tessera/policy/samples.hpp>
#include <tessera/policy/stochastic_rounding.hpp>
#include <tessera/policy/strict.hpp>
#include <tessera/policy/unordered_reduce.hpp>
#include <tessera/policy/zero.hpp>

// How it is trained.
#include <tessera/optimizer/adagrad.hpp>
#include <tessera/optimizer/adam.hpp>
#include <tessera/optimizer/adamw.hpp>
#include <tessera/optimizer/lamb.hpp>
#include <tessera/optimizer/lion.hpp>
#include <tessera/optimizer/muon.hpp>
#include <tessera/optimizer/schedule.hpp>
#include <tessera/optimizer/sgd.hpp>
#include <tessera/plan/render.hpp>
#include <tessera/run/tokens.hpp>
#include <tessera/run/world.hpp>
#include <tessera/trainer.hpp>
