// expect: a label is one of at least one class
// expect: ClassesArePositive<0>
#include <tessera/core/sample.hpp>

using namespace tessera;

constexpr Labels<0> label{};
int main() {}
