// expect: attention: Width must be a multiple of Heads
// expect: HeadsDivideWidth<32, 5>
#include "setup.hpp"

constexpr CausalSelfAttention<32, 5> attention{};
int main() {}
