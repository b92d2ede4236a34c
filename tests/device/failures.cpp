// cuda
// ranks: 1
// timeout: 240
/// Every call of the CUDA libraries fails once, at start and in a step: each becomes one sentence
/// that names it, and the next run is as if nothing had happened.
#include <cuda_double/api.hpp>

#include <map>
#include <optional>
#include <string>

#include "run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class... Policies>
using Run = Trainer<Small, Batch<1, 8>, AdamW, ClipNorm, On<Cuda>, Policies...>;

/// What is said when call number `at` from here on fails; nothing: there are fewer.
template <class F>
std::optional<std::string> said(long at, F const& f) {
  cuda_double::fail_next("", cudaErrorUnknown, at);
  std::optional<std::string> text;
  try {
    f();
  } catch (Error const& error) {
    text = error.what();
  }
  CHECK(text.has_value() == !cuda_double::failed().empty());
  return text;
}

/// The sentence is about the call that failed.
void check_names(std::string const& text, std::string const& call) {
  CAPTURE(call);
  CAPTURE(text);
  bool const launch = call == "cudaLaunchKernel";
  CHECK(text.find(launch ? "a kernel's launch" : call) != std::string::npos);
  CHECK(text.find(';') != std::string::npos);  // and a way out
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.starts_with("tessera: "));
}

using Tried = std::map<std::string, int>;
std::string listed(Tried const& tried) {
  std::string text;
  for (auto const& [call, times] : tried) text += " " + std::to_string(times) + " " + call;
  return text;
}

/// Calls of the start, most of them: copies of weights are many and alike.
template <class T>
Tried start_fails() {
  Tried tried;
  for (long at = 0;; at += 1 + at / 32) {
    auto const text = said(at, [] { T const trainer(world()); });
    std::string const call = cuda_double::failed();
    cuda_double::reset();
    if (!text) return tried;
    ++tried[call];
    check_names(*text, call);
  }
}

/// Every call of a step. A trainer whose step has failed is of no more use: each meets a new one.
template <class T>
Tried step_fails(double expected) {
  Tried tried;
  for (long at = 0;; ++at) {
    std::optional<T> trainer(std::in_place, world());
    double loss = 0;
    auto const text = said(at, [&] { loss = trainer->step(Counting{}).loss; });
    std::string const call = cuda_double::failed();
    trainer.reset();
    cuda_double::reset();
    if (!text) {
      CHECK(loss == expected);
      return tried;
    }
    ++tried[call];
    check_names(*text, call);
    CHECK(text->find(" [") != std::string::npos);  // the plan row, or the step's start
  }
}

template <class T>
void check(char const* name) {
  double const expected = T(world()).step(Counting{}).loss;
  Tried start = start_fails<T>(), step = step_fails<T>(expected);
  std::printf("%s, start:%s\n%s, step:%s\n", name, listed(start).c_str(), name,
              listed(step).c_str());
  for (char const* call : {"cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaMemsetAsync"})
    CHECK(start[call] > 0);
  CHECK(step["cudaLaunchKernel"] > 10);
  CHECK(step["cudaMemcpyAsync"] > 0);
  CHECK(step["cudaMemsetAsync"] > 0);
  CHECK(step["cudaMalloc"] + step["cudaMallocHost"] == 0);  // nothing is allocated in a step
  CHECK(T(world()).step(Counting{}).loss == expected);

  // What went wrong in the middle of a step is seen when the host waits.
  T trainer(world());
  cuda_double::fail_next("cudaStreamQuery", cudaErrorIllegalAddress);
  try {
    trainer.step(Counting{});
    CHECK(false);
  } catch (Error const& error) {
    CHECK(std::string(error.what()).find("issued before") != std::string::npos);
    CHECK(std::string(error.what()).find("compute-sanitizer") != std::string::npos);
    CHECK(std::string(error.what()).find("exchange") != std::string::npos);
  }
  cuda_double::reset();

  // The host waits by looking. An end that cannot wait harms nobody.
  cuda_double::fail_next("cudaStreamSynchronize", cudaErrorUnknown);
  CHECK(T(world()).step(Counting{}).loss == expected);
  CHECK(cuda_double::failed().empty());
  cuda_double::fail_next("cudaDeviceSynchronize", cudaErrorUnknown);
  CHECK(T(world()).step(Counting{}).loss == expected);
  CHECK(cuda_double::failed() == "cudaDeviceSynchronize");
  cuda_double::reset();
  CHECK(T(world()).step(Counting{}).loss == expected);
}

}  // namespace

TEST_CASE("every call that fails is named in one sentence") {
  check<Run<>>("eager");
}
TEST_CASE("in graphs, too") {
  check<Run<Graphs>>("graphs");
}
