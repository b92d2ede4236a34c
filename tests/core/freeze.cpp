// static
// Vectors of any size are kept whole: none, as many as are made once, and those made again.
#include <tessera/core/freeze.hpp>

#include <vector>

namespace {

using namespace tessera;

template <int Size>
struct Squares {
  static constexpr std::vector<int> make() {
    std::vector<int> v;
    for (int i = 0; i < Size; ++i) v.push_back(i * i);
    return v;
  }
};

template <int Size>
constexpr bool kept = [] {
  constexpr auto frozen = freeze<Squares<Size>>();
  bool same = frozen.size() == Size;
  for (int i = 0; i < Size; ++i) same = same && frozen[std::size_t(i)] == i * i;
  return same;
}();

constexpr int most = int(detail::Made<Squares<0>>::most);
static_assert(kept<0> && kept<1> && kept<most> && kept<most + 1> && kept<3 * most>);

}  // namespace
