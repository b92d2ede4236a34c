/// Every kernel as a launch on a block lane, in float and double. Compiling it is the test.
#include <tessera/backend/cuda/team.hpp>

#include <tessera/core/view.hpp>
#include <tessera/kernels/adamw.hpp>
#include <tessera/kernels/bias.hpp>
#include <tessera/kernels/cross_entropy.hpp>
#include <tessera/kernels/elementwise.hpp>
#include <tessera/kernels/embedding.hpp>
#include <tessera/kernels/gelu.hpp>
#include <tessera/kernels/layer_norm.hpp>
#include <tessera/kernels/reduce.hpp>

namespace tessera {

template <template <class> class... Kernels>
struct List {};
using All = List<kernel::Add, kernel::Accumulate, kernel::Multiply, kernel::Scale, kernel::BiasAdd,
                 kernel::SumRows, kernel::Gelu, kernel::LayerNorm, kernel::LayerNormInput,
                 kernel::LayerNormParameters, kernel::EmbeddingForward, kernel::EmbeddingBackward,
                 kernel::PositionForward, kernel::PositionBackward, kernel::CrossEntropy,
                 kernel::AdamW, kernel::SumRanks, kernel::SquaredSum>;

template <class T, template <class> class... Kernels>
void launch(CudaTeam team, List<Kernels...>) {
  (team.run(Kernels<T>{}), ...);
}

struct Fill {
  View<float> y;
  TESSERA_BOTH void operator()(std::int64_t i) const { y[i] = 1; }
};

void launch_all(CudaTeam team, View<float> y) {
  launch<float>(team, All{});
  launch<double>(team, All{});
  team.each(y.count(), Fill{y});
}

}  // namespace tessera
