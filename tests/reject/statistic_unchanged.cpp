// expect: no op gives this parameter of the layer a gradient, or this running statistic a change
// expect: ParametersAreReached<
// expect: 1>
#include <tessera/op/bias.hpp>

#include "setup.hpp"

/// y = x - mean, and nothing that moves the mean.
struct Center {
  static constexpr std::string_view name = "center";
  static constexpr void adjoint(auto& d) { d.to(0, d.dy()); }
  static constexpr Shape shape(Shape x, Shape) { return x; }
};
template <class Backend>
struct tessera::kernels<Center, Backend> {
  static void run(Call const&, View<Real>, View<Real const>, View<Real const>) {}
};

struct Centered {
  Param<32> gain = ones;
  Running<32> mean;
  constexpr Value operator()(Value x) const { return apply<Center>(bias(x, gain), mean); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Repeat<2, Centered> layers;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
