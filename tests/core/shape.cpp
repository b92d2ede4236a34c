// static
#include <tessera/core/shape.hpp>

namespace {

using tessera::Shape;
using tessera::shape_of;

constexpr Shape s = shape_of(2, 3, 5);
static_assert(s.rank == 3 && s[0] == 2 && s[2] == 5 && s[-1] == 5 && s[-3] == 2);
static_assert(s.count() == 30 && s.cols() == 5 && s.rows() == 6);
static_assert(s.with(-1, 7) == shape_of(2, 3, 7) && s.with(0, 1) == shape_of(1, 3, 5));
static_assert(s == shape_of(2, 3, 5) && s != shape_of(2, 3) && s != shape_of(3, 2, 5));
static_assert(Shape{}.count() == 1 && Shape{}.cols() == 1 && Shape{}.rows() == 1);
static_assert(shape_of(4).rows() == 1 && shape_of(4, 0).rows() == 0);
// More elements than an int counts.
static_assert(shape_of(1 << 16, 1 << 16).count() == std::int64_t(1) << 32);

}  // namespace
