/// Every kernel as a launch, in each type. Compiling it is the test.
#include <tessera/backend/cuda/team.hpp>

#include <tessera/core/view.hpp>
#include <tessera/kernels/activation.hpp>
#include <tessera/kernels/adagrad.hpp>
#include <tessera/kernels/adam.hpp>
#include <tessera/kernels/attention.hpp>
#include <tessera/kernels/attention_rows.hpp>
#include <tessera/kernels/bias.hpp>
#include <tessera/kernels/cross_entropy.hpp>
#include <tessera/kernels/dropout.hpp>
#include <tessera/kernels/elementwise.hpp>
#include <tessera/kernels/embedding.hpp>
#include <tessera/kernels/exact_sum.hpp>
#include <tessera/kernels/glu.hpp>
#include <tessera/kernels/lamb.hpp>
#include <tessera/kernels/layer_norm.hpp>
#include <tessera/kernels/lion.hpp>
#include <tessera/kernels/muon.hpp>
#include <tessera/kernels/reduce.hpp>
#include <tessera/kernels/rms_norm.hpp>
#include <tessera/kernels/rope.hpp>
#include <tessera/kernels/running.hpp>
#include <tessera/kernels/sgd.hpp>
#include <tessera/kernels/sum_parts.hpp>

namespace tessera {

template <class... Kernels>
void launch(CudaTeam team) {
  (team.run(Kernels{}), ...);
}

template <class T>
void launch_stored_as_computed(CudaTeam team) {
  using namespace kernel;
  launch<Add<T>, Accumulate<T>, Multiply<T>, Scale<T>, BiasAdd<T>, SumRows<T>, Gelu<T>, Silu<T>,
         GatedUnit<T, SiluCurve>, GatedUnitInput<T, SiluCurve>, GatedUnit<T, GeluCurve>,
         GatedUnitInput<T, GeluCurve>, LayerNorm<T>, LayerNormInput<T>, LayerNormParameters<T>,
         RmsNorm<T>, RmsNormInput<T>, RmsNormGain<T>, Dropout<T>, Rope<T>,
         Rope<T, RopeLayout::interleaved>, EmbeddingForward<T>, EmbeddingBackward<T>,
         EmbeddingRuns<T>, Clear<T>, PositionForward<T>, PositionBackward<T>, CrossEntropy<T>,
         TotalLoss<T>, Adam<T>, AdamW<T>, Sgd<T>, Adagrad<T>, LambMoments<T>, LambStep<T>, Lion<T>,
         MuonMomentum<T>, MuonStep<T>, Normalize<T>, Stretch<T>, Quadratic<T>, SquaredSum<T>,
         AddChange<T>, Attention<T>, AttentionInput<T>, AttentionByQuery<T>,
         AttentionQueryGradient<T>, AttentionKeyGradient<T>, SumParts<T>, SumInOrder<T>>(team);
}

template <class Low, class Weights>
void launch_stored_in_16_bits(CudaTeam team) {
  using namespace kernel;
  launch<Add<Low>, Add<float, Low>, Multiply<Low>, SumRows<Low>, Gelu<Low>, Silu<Low>,
         GatedUnit<Low, SiluCurve>, GatedUnitInput<Low, SiluCurve>, Convert<Low, float>,
         Convert<float, Low>, LayerNorm<float, Low>, LayerNormInput<float, Low>,
         LayerNormParameters<float, Low>, RmsNorm<float, Low>, RmsNormInput<float, Low>,
         RmsNormGain<float, Low>, Dropout<Low>, Rope<Low>, EmbeddingForward<float, Low>,
         PositionForward<float, Low>, CrossEntropy<float, Low>, AdamW<float, Weights>,
         LambMoments<float, Weights>, LambStep<float, Weights>, MuonStep<float, Weights>,
         Adam<float, Weights>, Sgd<float, Weights>, Adagrad<float, Weights>, Lion<float, Weights>,
         AttentionByQuery<Low>, AttentionQueryGradient<Low>, AttentionKeyGradient<Low>,
         SquaredSum<Low>, BiasAdd<Low>, Scale<Low>>(team);
}

void launch_rounded(CudaTeam team) {
  using namespace kernel;
  launch<Adam<float, Rounded>, AdamW<float, Rounded>, Sgd<float, Rounded>, Adagrad<float, Rounded>,
         Lion<float, Rounded>>(team);
}

struct Fill {
  View<float> y;
  TESSERA_BOTH void operator()(std::int64_t i) const { y[i] = 1; }
};

void launch_all(CudaTeam team, View<float> y) {
  launch_stored_as_computed<float>(team);
  launch_stored_as_computed<double>(team);
  launch_stored_in_16_bits<bf16, kernel::Split>(team);
  launch_stored_in_16_bits<fp16, kernel::Master>(team);
  launch_rounded(team);
  launch<kernel::Documents, kernel::SumExactly, kernel::AddSums, kernel::RoundSums,
         kernel::Indices<std::int32_t>, kernel::AddPieces, kernel::AddRows>(team);
  team.each(y.count(), Fill{y});
}

}  // namespace tessera
