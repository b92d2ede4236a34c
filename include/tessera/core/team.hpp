/// The one way a kernel loops. A kernel is written against these verbs and never names a thread, a
/// warp or a stream, so one source runs on a core and on a GPU.
///
///   Team (the whole launch)  each(n, f(i))     f for every i, any order, in parallel
///                            run(kernel)       kernel(lane, r) for every r < kernel.rows(). Where
///                                              it has kernel.cols(), the columns that its verbs go
///                                              over, static constexpr if its type knows, a GPU
///                                              gives short rows to few threads
///   Lane (one row)           each(n, f(c))     f for every column
///                            each(n, f(c, p[c]...), p...)
///                                              and with its elements of arrays, which f names no
///                                              other way: a GPU reads 16 bytes of each at a time
///                                              and writes them back to those that are not const;
///                                              of two that are the same memory, one must be
///                            sum(n, f(c))      fixed tree over 128 partials: the same bits on
///                            max(n, f(c))      every lane
///                            once(f)           f a single time
///                            room<T, N, Tag>() .at(): N elements of T for the row, by Tag
///                            prefetch(p, n)    p[0..n) is read soon: a core asks memory for it,
///                                              whose own guess comes late for short pieces of long
///                                              arrays; a GPU's other rows hide the wait
#pragma once

#include <tessera/core/setting.hpp>

#include <concepts>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

template <class T>
concept Team = T::is_team;
template <class L>
concept Lane = L::is_lane;

/// partials[i % 128] collect, then halves fold: what every lane's reduction computes.
inline constexpr int lane_partials = 128;

}  // namespace tessera::inline TESSERA_SETTING
