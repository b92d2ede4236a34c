// The same words as in the files beside this one, used well: this compiles. Were it refused, the
// library would be broken, and every other file here would be refused for that.
#include <tessera/policy/fold.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/zero.hpp>
#include <tessera/optimizer/adamw.hpp>

int main() {}
