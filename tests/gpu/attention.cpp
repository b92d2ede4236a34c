// cudnn
// timeout: 240
// args: --small
/// Attention by cuDNN on a GPU beside references in double, in bf16 and fp16, and what stays with
/// the library's own kernels: a line and a bound for each. tests/gpu.sh runs it where there is
/// cuDNN, the suite on its double.
///   --small    shapes for tools under which a program is slow
#include "products.hpp"

using namespace tessera;
using namespace tessera::test;

int main(int argc, char** argv) {
  Judge judge(argc > 1 && std::string(argv[1]) == "--small");
  check_attention<bf16>(judge);
  check_attention<fp16>(judge);
  check_attention<float>(judge);
  std::printf("%d passed%s\n", judge.passed(), judge.failed() ? ", and some FAILED" : "");
  return judge.failed() ? 1 : 0;
}
