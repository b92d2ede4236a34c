/// A callable by reference, for virtual functions: no copy, no allocation. It outlives the call.
#pragma once

#include <tessera/core/setting.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

template <class>
class FunctionRef;
template <class R, class... A>
class FunctionRef<R(A...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>) FunctionRef(F const& f)
      : object_(std::addressof(f)), call_([](void const* object, A... a) -> R {
          return (*static_cast<F const*>(object))(std::forward<A>(a)...);
        }) {}

  R operator()(A... a) const { return call_(object_, std::forward<A>(a)...); }

 private:
  void const* object_;
  R (*call_)(void const*, A...);
};

}  // namespace tessera::inline TESSERA_SETTING
