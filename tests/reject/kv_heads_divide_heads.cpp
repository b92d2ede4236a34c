// expect: attention: Heads must be a multiple of KvHeads
// expect: KvHeadsDivideHeads<8, 3>
#include "setup.hpp"

constexpr SelfAttention<32, 8, 3> attention{};
int main() {}
