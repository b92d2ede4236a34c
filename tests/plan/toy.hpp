/// A small model as planners see it: embed and head share their token table, three blocks between.
#pragma once

#include <tessera/plan/plan.hpp>

namespace toy {

using namespace tessera;

inline constexpr int tokens = 0, positions = 1, blocks = 2, norm = 3;

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
  f.sequences = 2;
  f.tokens = 16;
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
  return l;
}

constexpr Plan plan(int zero, Mesh mesh, Reduction reduce = Reduction::automatic, int micros = 1,
                    int layers = 3, Across across = Across::nothing) {
  return make_plan(facts(layers), layout(zero, reduce, micros, across), mesh);
}

}  // namespace toy
