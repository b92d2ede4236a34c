// static
#include <tessera/core/mesh.hpp>

using namespace tessera;

// One axis: the world, in rank order.
static_assert(Mesh{.data = 4}.data_index(3) == 3 && Mesh{.data = 4}.data_axis(3) == 0);

// Ranks of two neighbours, three data ranks and two stages: every data axis has each place once.
constexpr Mesh all{.data = 3, .stages = 2, .tensor = 2};
static_assert([] {
  int seen[4][3]{};
  for (int rank = 0; rank < all.ranks(); ++rank) ++seen[all.data_axis(rank)][all.data_index(rank)];
  for (auto const& axis : seen)
    for (int times : axis)
      if (times != 1) return false;
  return true;
}());
// Stage 1, second neighbour, third data rank.
static_assert(all.data_axis(11) == 3 && all.data_index(11) == 2);
// Data ranks of an axis differ by the neighbours between them.
static_assert(all.data_axis(1) == all.data_axis(3) && all.data_axis(1) != all.data_axis(2));
