// static
#include <tessera/core/bytes.hpp>

namespace {

using namespace tessera;

static_assert(1_KiB == 1024 && 1_MiB == 1024_KiB && 3_GiB == 3072_MiB);
static_assert(round_up(0, 64) == 0 && round_up(1, 64) == 64 && round_up(64, 64) == 64);
static_assert(round_up(65, 64) == 128 && round_up(7, 3) == 9);
static_assert(aligned(0) == 0 && aligned(1) == 256 && aligned(256) == 256 && aligned(257) == 512);
static_assert(aligned(5_GiB + 1) == 5_GiB + 256);

}  // namespace
