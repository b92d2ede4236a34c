/// Members of an aggregate, with their names (the idea of Boost.PFR): how layers are walked without
/// a base class or a registration.
#pragma once

#include <tessera/core/setting.hpp>

#include <string_view>
#include <type_traits>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

inline constexpr int most_fields = 16;

namespace detail {

struct AnyField {
  template <class T>
  constexpr operator T() const;  // named in unevaluated operands only
};

template <class T, std::size_t... I>
constexpr bool braces(std::index_sequence<I...>) {
  return requires {
    T{(void(I), AnyField{})...};
  };
}

template <class T, std::size_t N = most_fields + 1>
constexpr int count_fields() {
  if constexpr (N == 0)
    return 0;
  else if constexpr (braces<T>(std::make_index_sequence<N>{}))
    return int(N);
  else
    return count_fields<T, N - 1>();
}

}  // namespace detail

template <class T>
inline constexpr int field_count = detail::count_fields<T>();

/// Calls f(member...) once with all members.
template <class T, class F>
constexpr decltype(auto) with_fields(T& t, F&& f) {
  constexpr int members = field_count<std::remove_const_t<T>>;
  static_assert(
      members <= most_fields,
      "tessera: a layer has at most 16 members; group some of them in a layer of its own");
  if constexpr (members == 0) {
    (void)t;
    return f();
  } else if constexpr (members == 1) {
    auto& [a] = t;
    return f(a);
  } else if constexpr (members == 2) {
    auto& [a, b] = t;
    return f(a, b);
  } else if constexpr (members == 3) {
    auto& [a, b, c] = t;
    return f(a, b, c);
  } else if constexpr (members == 4) {
    auto& [a, b, c, d] = t;
    return f(a, b, c, d);
  } else if constexpr (members == 5) {
    auto& [a, b, c, d, e] = t;
    return f(a, b, c, d, e);
  } else if constexpr (members == 6) {
    auto& [a, b, c, d, e, g] = t;
    return f(a, b, c, d, e, g);
  } else if constexpr (members == 7) {
    auto& [a, b, c, d, e, g, h] = t;
    return f(a, b, c, d, e, g, h);
  } else if constexpr (members == 8) {
    auto& [a, b, c, d, e, g, h, i] = t;
    return f(a, b, c, d, e, g, h, i);
  } else if constexpr (members == 9) {
    auto& [a, b, c, d, e, g, h, i, j] = t;
    return f(a, b, c, d, e, g, h, i, j);
  } else if constexpr (members == 10) {
    auto& [a, b, c, d, e, g, h, i, j, k] = t;
    return f(a, b, c, d, e, g, h, i, j, k);
  } else if constexpr (members == 11) {
    auto& [a, b, c, d, e, g, h, i, j, k, l] = t;
    return f(a, b, c, d, e, g, h, i, j, k, l);
  } else if constexpr (members == 12) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m] = t;
    return f(a, b, c, d, e, g, h, i, j, k, l, m);
  } else if constexpr (members == 13) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n] = t;
    return f(a, b, c, d, e, g, h, i, j, k, l, m, n);
  } else if constexpr (members == 14) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n, o] = t;
    return f(a, b, c, d, e, g, h, i, j, k, l, m, n, o);
  } else if constexpr (members == 15) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n, o, p] = t;
    return f(a, b, c, d, e, g, h, i, j, k, l, m, n, o, p);
  } else if constexpr (members == 16) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q] = t;
    return f(a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q);
  }
}

namespace detail {

template <class T>
struct Holder {
  T value;
};
template <class T>
inline constexpr Holder<T> nowhere{};  // only the addresses of its members are used

template <class T>
struct Address {
  T const* p;
};
template <class T>
Address(T const*) -> Address<T>;

template <int I, class First, class... Rest>
constexpr auto address_of(First const& first, Rest const&... rest) {
  if constexpr (I == 0)
    return Address{&first};
  else
    return address_of<I - 1>(rest...);
}
template <class T, int I>
constexpr auto field_address() {
  return with_fields(nowhere<T>.value, [](auto const&... m) { return address_of<I>(m...); });
}

template <auto P>
constexpr auto pretty() {  // auto: g++ would append what a spelled-out return type stands for
  return std::string_view{__PRETTY_FUNCTION__};
}

constexpr bool is_word(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr std::string_view last_word(std::string_view s) {
  while (!s.empty() && !is_word(s.back())) s.remove_suffix(1);
  std::size_t n = 0;
  while (n < s.size() && is_word(s[s.size() - 1 - n])) ++n;
  return s.substr(s.size() - n);
}

}  // namespace detail

/// The member's name as the source spells it.
template <class T, int I>
inline constexpr std::string_view field_name =
    detail::last_word(detail::pretty<detail::field_address<T, I>()>());

template <class T, int I>
using field_type = std::remove_cvref_t<decltype(*detail::field_address<T, I>().p)>;

/// Calls f.template operator()<I>(member) for every member in order.
template <class T, class F>
constexpr void for_each_field(T& t, F&& f) {
  with_fields(t, [&](auto&... m) {
    [&]<int... I>(std::integer_sequence<int, I...>) {
      (f.template operator()<I>(m), ...);
    }
    (std::make_integer_sequence<int, int(sizeof...(m))>{});
  });
}

}  // namespace tessera::inline TESSERA_SETTING
