// cuda
// timeout: 240
// args: --small
/// Every kernel, product and attention on a GPU beside references in double, in fp32, bf16 and
/// fp16: a line and a bound for each. tests/gpu.sh runs it on a GPU, the suite on the doubles.
///   --small    shapes for tools under which a program is slow
#include "elements.hpp"
#include "products.hpp"
#include "rows.hpp"
#include "steps.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class T>
void check_all(Judge& j) {
  for (Size const& size : sizes(j)) {
    check_elements<T>(j, size);
    check_columns<T>(j, size);
    check_gated_unit<T, kernel::SiluCurve>(j, size, "gated silu");
    check_gated_unit<T, kernel::GeluCurve>(j, size, "gated gelu");
    check_dropout<T>(j, size);
    check_layer_norm<T>(j, size);
    check_rms_norm<T>(j, size);
    check_squares<T>(j, size.rows * size.cols);
  }
  if (!j.small) {
    check_rope<T, RopeLayout::half_split>(j, 1024, 12, 64, 64);
    check_tables<T>(j, {1024, 768});
    check_losses<T>(j, {64, 50304});
  }
  check_rope<T, RopeLayout::half_split>(j, 11, 6, 22, 5);
  check_rope<T, RopeLayout::interleaved>(j, 17, 3, 16, 0);
  check_tables<T>(j, {7, 129});
  check_losses<T>(j, {6, 1021});
  check_products<T>(j);
  check_attention<T>(j);
}

void check_flats(Judge& j) {
  for (std::int64_t const n :
       j.small ? std::vector<std::int64_t>{8197} : std::vector<std::int64_t>{1 << 20, 100'003}) {
    check_steps<kernel::Plain<float>>(j, n);
    check_steps<kernel::Split>(j, n);
    check_steps<kernel::Master>(j, n);
    check_steps<kernel::Rounded>(j, n);
    check_matrix_steps<kernel::Plain<float>>(j, n);
    check_matrix_steps<kernel::Split>(j, n);
    check_sums(j, n);
  }
  check_quadratic(j, j.small ? 37 : 768);
}

}  // namespace

int main(int argc, char** argv) {
  Judge judge(argc > 1 && std::string(argv[1]) == "--small");
  check_all<float>(judge);
  check_all<bf16>(judge);
  check_all<fp16>(judge);
  check_flats(judge);
  std::printf("%d passed%s\n", judge.passed(), judge.failed() ? ", and some FAILED" : "");
  return judge.failed() ? 1 : 0;
}
