/// A small model as planners see it: embed and head share their token table, three blocks between.
#pragma once

#include <tessera/plan/plan.hpp>

namespace toy {

using namespace tessera;

inline constexpr int tokens = 0, positions = 1, blocks = 2, norm = 3, matrices = 4;

constexpr Facts facts(int layers = 3) {
  Facts f;
  f.flats = {{.name = "token", .elements = 50'304, .tied = true},
             {.name = "embed", .elements = 1'024},
             {.name = "blocks", .layers = layers, .elements = 3'200, .tensors = 4},
             {.name = "head", .elements = 128, .tensors = 2}};
  f.segments = {
      {.name = "embed", .output = 8'192, .kept = 256, .scratch = 4'096},
      {.name = "blocks", .layers = layers, .output = 8'192, .kept = 65'536, .scratch = 32'768},
      {.name = "head", .output = 4, .kept = 8'448, .scratch = 100'000}};
  f.segments[0].flats = {FlatUse{tokens, true, false, true}, FlatUse{positions, true, false, true}};
  f.segments[1].flats = {FlatUse{blocks, true, true, true}};
  f.segments[2].flats = {FlatUse{tokens, true, true, true}, FlatUse{norm, true, true, true}};
  f.workspace = 1'000;
  f.batch = 256;
  f.samples = token_batch(2, 16);
  return f;
}

/// The blocks' weights in two flats: vectors, and three matrices that are stepped as wholes.
constexpr Facts facts_of_matrices(int layers = 3) {
  Facts f = facts(layers);
  f.flats[blocks].elements = 256;
  f.flats.push_back(
      {.name = "blocks", .layers = layers, .elements = 2'944, .tensors = 3, .matrices = true});
  f.matrices = {{matrices, 0, 32, 64}, {matrices, 2'048, 16, 40}, {matrices, 2'688, 16, 16}};
  f.segments[1].flats[1] = FlatUse{matrices, true, true, true};
  return f;
}

/// And one more in the head, cut into parts of another size.
constexpr Facts facts_of_two_sizes(int layers = 3) {
  Facts f = facts_of_matrices(layers);
  f.flats.push_back({.name = "head", .elements = 512, .matrices = true});
  f.matrices.push_back({int(f.flats.size()) - 1, 0, 16, 32});
  f.segments[2].flats[2] = FlatUse{int(f.flats.size()) - 1, true, true, true};
  return f;
}

constexpr Layout layout(int zero, Reduction reduce = Reduction::automatic, int micros = 1,
                        Across across = Across::nothing) {
  Layout l;
  l.sequences = 2;
  l.tokens = 16;
  l.accumulate = micros;
  l.zero = zero;
  l.reduce = reduce;
  l.states = 2;
  l.across = across;
  l.matrix_states = 1;
  l.product_workspace = 512;
  return l;
}

constexpr Plan plan(int zero, Mesh mesh, Reduction reduce = Reduction::automatic, int micros = 1,
                    int layers = 3, Across across = Across::nothing) {
  Layout const l = layout(zero, reduce, micros, across);
  if (across == Across::matrices) return make_plan(facts_of_matrices(layers), l, mesh);
  return make_plan(facts(layers), l, mesh);
}

/// On GPUs: every rank is a domain.
constexpr Plan gpu_plan(int zero, Mesh mesh, bool unordered, int micros = 1) {
  Layout l = layout(zero, Reduction::automatic, micros);
  l.gpu = true;
  l.unordered = unordered;
  return make_plan(facts(), l, mesh);
}

/// Of samples, one a micro-batch.
constexpr Plan strict_plan(int zero, Mesh mesh, int micros, int group = 1) {
  Layout l = layout(zero, Step, micros);
  Facts f = facts();
  l.strict = group;
  l.sequences = 1;
  f.samples = token_batch(1, 16);
  return make_plan(f, l, mesh);
}

}  // namespace toy
