// static
/// A norm's epsilon is a member, and reaches the op.
#include <tessera/graph/model.hpp>
#include <tessera/layer/norm.hpp>

using namespace tessera;

namespace {

template <class Norm>
struct Fine {
  Norm norm{.epsilon = 1e-6};
  constexpr Value operator()(Value x) const { return norm(x); }
};
template <class Layer>
inline constexpr double epsilon =
    detail::recorded<Layer>({}, shape_of(2, 3, 8), false).nodes.back().number;

static_assert(epsilon<RmsNorm<8>> == 1e-5 && epsilon<Fine<RmsNorm<8>>> == 1e-6);
static_assert(epsilon<LayerNorm<8>> == 1e-5 && epsilon<Fine<LayerNorm<8>>> == 1e-6);

}  // namespace
