// cudnn
// timeout: 120
/// Attention by cuDNN's graphs, on a double of them: what is asked, in which pieces, and what the
/// library's own kernels do instead.
#include <tessera/backend/cuda/attention.hpp>

#include <cuda_double/api.hpp>
#include <cuda_double/cudnn.hpp>

#include <doctest/doctest.h>

#include "../../gpu/judge.hpp"
#include "../../kernels/attention.hpp"

using namespace tessera;
using tessera::test::Attending;
using tessera::test::Buffer;
using tessera::test::values;

namespace {

constexpr AttentionShape gpt2{.batch = 4, .tokens = 1024, .heads = 12, .kv_heads = 12, .width = 64};
constexpr AttentionTask task(AttentionShape const& s, bool backward = true,
                             DType type = DType::bf16) {
  return {s, type, backward};
}
constexpr AttentionShape of_length(std::int64_t tokens) {
  AttentionShape s = gpt2;
  s.tokens = tokens;
  return s;
}
constexpr AttentionShape of_width(std::int64_t width) {
  AttentionShape s = gpt2;
  s.width = width;
  return s;
}

/// What one call makes: y and log-sum-exp, or dqkv.
template <class T>
struct Made {
  std::vector<T> y, dqkv;
  std::vector<float> log_sum;
  long runs = 0;
  std::string remarks;
};

template <class T>
Made<T> made(Attending const& a, cudnn::Limits const& limits = {}) {
  test::Judge const j(true);
  AttentionTask const there{a.shape, dtype_of<T>, false, !a.table.empty()},
      back{a.shape, dtype_of<T>, true, !a.table.empty()};
  CudnnAttention forward(there, limits), backward(back, limits);
  auto const in = j.some<T>(a.inputs(), 1), dy = j.some<T>(a.outputs(), 2),
             y = j.blank<T>(a.outputs()), dqkv = j.blank<T>(a.inputs());
  auto const log_sum = j.blank<float>(a.log_sums());
  Bytes const bytes =
      std::max(CudnnAttention::workspace(there, limits), CudnnAttention::workspace(back, limits));
  auto const workspace = j.put(std::vector<std::byte>(std::size_t(bytes)));
  auto const table = j.put(a.table.empty() ? std::vector<std::int32_t>(1) : a.table);
  AttentionOperands const x{in.get(), a.table.empty() ? nullptr : table.get(), y.get(),
                            log_sum.get()};
  long const before = cuda_double::graphs_run();
  forward.forward(x, workspace.get(), j.stream());
  backward.backward(x, dy.get(), dqkv.get(), workspace.get(), j.stream());
  return {y.read(), dqkv.read(), log_sum.read(), cuda_double::graphs_run() - before,
          forward.remark() + backward.remark()};
}

/// The largest error beside the definition, as a share of the root of the mean square.
double error(std::vector<double> const& found, std::vector<double> const& expected) {
  double squares = 0, most = 0;
  for (double const x : expected) squares += x * x;
  for (std::size_t i = 0; i < expected.size(); ++i)
    most = std::max(most, std::abs(found[i] - expected[i]));
  return most / std::sqrt(squares / double(expected.size()));
}

template <class T>
void check(AttentionShape const& s, cudnn::Limits const& limits = {}, long runs = 2) {
  Attending const a(s, false);
  CAPTURE(a.text());
  auto const qkv = values<T>(a.inputs(), 1), dy = values<T>(a.outputs(), 2);
  Made<T> const m = made<T>(a, limits);
  CHECK(m.remarks == "");
  CHECK(m.runs == runs);
  // Weights and slopes are rounded to T, too, and the largest value is some times the typical one.
  CHECK(error(test::wide(m.y), a.plain(qkv)) < 8 * test::unit<T>);
  CHECK(error(test::wide(m.dqkv), a.gradient(qkv, dy, m.y)) < 16 * test::unit<T>);
  Made<T> const again = made<T>(a, limits);
  CHECK(std::memcmp(again.dqkv.data(), m.dqkv.data(), m.dqkv.size() * sizeof(T)) == 0);
}

}  // namespace

TEST_CASE("what cuDNN is asked, and in which pieces") {
  using cudnn::choice;
  using cudnn::Piece;
  using cudnn::piece_of;
  static_assert(choice(task(gpt2)) == "cuDNN" && choice(task(gpt2, false)) == "cuDNN");
  static_assert(choice(task(gpt2, true, DType::real)) == "own kernels, as values are float");
  static_assert(choice({gpt2, DType::bf16, true, true}) ==
                "own kernels, as rows hold several documents");
  static_assert(choice(task(of_width(60))) == "own kernels, as heads are no multiple of 8 wide");
  static_assert(choice(task(of_width(264))) == "own kernels, as heads are wider than 256");
  static_assert(choice(task(of_length(32768))) == "own kernels, as scores take too much workspace");
  static_assert(choice(task(of_length(32768), false)) == "cuDNN");
  // 4 x 12 x 1024^2 x 2 bytes of scores are 96 MiB; of 4096 tokens one head's are 32.
  static_assert(piece_of(task(gpt2)) == Piece{4, 12});
  static_assert(piece_of(task(of_length(2048))) == Piece{2, 12});
  static_assert(piece_of(task(of_length(4096))) == Piece{1, 6});
  static_assert(piece_of(task(of_length(16384))) == Piece{1, 1});
  static_assert(cudnn::workspace_of(task(of_length(16384))) < 2_GiB);
  static_assert(cudnn::workspace_of(task(of_length(4096))) <= aligned(256_MiB));
  static_assert(CudnnAttention::workspace(task(gpt2, true, DType::real)) ==
                OwnAttention::workspace(task(gpt2, true, DType::real)));
}

TEST_CASE_TEMPLATE("beside the definition", T, bf16, fp16) {
  for (bool const causal : {true, false})
    for (std::int64_t const window : {0, 4}) {
      check<T>({2, 33, 4, 2, 16, causal, window});
      check<T>({1, 7, 3, 3, 8, causal, window});
      check<T>({3, 12, 6, 2, 24, causal, window});
    }
}

TEST_CASE("pieces cover everything once") {
  AttentionShape const s{.batch = 2, .tokens = 12, .heads = 12, .kv_heads = 6, .width = 8};
  auto const of = [&](cudnn::Piece const& p) {
    return cudnn::Limits{.enough = cudnn::room_of(task(s), p)};
  };
  check<bf16>(s, of({2, 6}), 1 + 1);
  check<bf16>(s, of({1, 6}), 1 + 2);
  check<bf16>(s, of({1, 3}), 1 + 4);
  check<bf16>(s, of({1, 1}), 1 + 12);
  AttentionShape odd = s;  // a head's log-sum-exp is no whole number of 16 bytes
  odd.tokens = 13;
  static_assert(cudnn::piece_of(task({2, 13, 2, 1, 8}), {.enough = 0}) == cudnn::Piece{});
  check<bf16>(odd, {.enough = cudnn::room_of(task(odd), {1, 2})}, 1 + 6);
}

TEST_CASE("what cuDNN refuses is done by the library's own kernels, and said") {
  Attending const a({2, 12, 4, 2, 16}, false);
  cuda_double::refuse_graphs("no engine has this");
  Made<bf16> const own = made<bf16>(a);
  cuda_double::refuse_graphs("");
  CHECK(own.runs == 0);
  CHECK(own.remarks.find("cuDNN refuses attention of 2 x 12 tokens, 4 heads (2 of keys) 16 wide, "
                         "so the library's own kernels do it, which are slower; no engine has "
                         "this") == 0);
  Made<bf16> const by_cudnn = made<bf16>(a);
  CHECK(by_cudnn.runs == 2);
  CHECK(error(test::wide(own.dqkv), test::wide(by_cudnn.dqkv)) < 32 * test::unit<bf16>);
  CHECK(error(test::wide(own.log_sum), test::wide(by_cudnn.log_sum)) < 1e-6);

  cuda_double::want_workspace(64_MiB);
  Made<bf16> const large = made<bf16>(a);
  cuda_double::want_workspace(0);
  CHECK(large.runs == 0);
  CHECK(large.remarks.find("every plan wants more workspace") != std::string::npos);
  CHECK(std::memcmp(large.dqkv.data(), own.dqkv.data(), own.dqkv.size() * sizeof(bf16)) == 0);
}

TEST_CASE("what the frontend takes beside the engine counts, too") {
  AttentionTask const back{{2, 12, 4, 2, 16}, DType::bf16, true};
  Bytes const room = cudnn::workspace_of(back), engine = 2 * 2 * 4 * 64 * 128,
              sums = 4 * 2 * 4 * 12;
  cuda_double::want_workspace(room - engine - sums);
  CHECK(CudnnAttention(back).by_cudnn());
  cuda_double::want_workspace(room - engine - sums + 16);
  CHECK(CudnnAttention(back).remark().find("; it wants " + std::to_string(room + 16) +
                                           " bytes of workspace, and the plan has " +
                                           std::to_string(room)) != std::string::npos);
  cuda_double::want_workspace(0);
}

TEST_CASE("documents are not for cuDNN, and nothing is said") {
  Made<bf16> const m = made<bf16>(Attending({2, 12, 4, 2, 16}, true));
  CHECK(m.runs == 0);
  CHECK(m.remarks == "");
}

TEST_CASE("a context is shared, and ends with the last attention") {
  REQUIRE(cuda_double::cudnn_contexts() == 0);
  {
    CudnnAttention const one(task(of_length(64))), two(task(of_length(64), false));
    CHECK(cuda_double::cudnn_contexts() == 1);
    CudnnAttention const moved = [&] { return CudnnAttention(task(of_length(32))); }();
    CHECK(cuda_double::cudnn_contexts() == 1);
  }
  CHECK(cuda_double::cudnn_contexts() == 0);
}

TEST_CASE("calls that fail name themselves") {
  test::Judge const j(true);
  AttentionShape const s{.batch = 1, .tokens = 8, .heads = 1, .kv_heads = 1, .width = 8};
  Attending const a(s, false);
  cuda_double::fail_next("cudnnCreate", cudaErrorLaunchFailure);
  CHECK_THROWS_WITH_AS(CudnnAttention(task(s)), doctest::Contains("tessera: cudnnCreate: "),
                       DeviceError);
  CudnnAttention forward(task(s, false));
  auto const in = j.some<bf16>(a.inputs() + 8, 1), y = j.blank<bf16>(a.outputs());
  auto const log_sum = j.blank<float>(a.log_sums());
  auto const workspace = j.put(std::vector<std::byte>(std::size_t(forward.workspace(task(s)))));
  auto const said = [&](void const* qkv, void* room) -> std::string {
    try {
      forward.forward({qkv, nullptr, y.get(), log_sum.get()}, room, j.stream());
    } catch (DeviceError const& failed) {
      return failed.sentence();
    }
    return "nothing";
  };
  std::string const name = "attention of 1 x 8 tokens, 1 heads (1 of keys) 8 wide: cuDNN: ";
  CHECK(said(in.get() + 1, workspace.get()) ==
        name + "operand 1 begins at no multiple of 16 bytes");
  CHECK(said(in.get(), nullptr) == name + "workspace begins at no multiple of 16 bytes");
  alignas(16) std::byte host[1024]{};
  CHECK(said(host, workspace.get()) == name + "operand 1 is not on the device");
  cuda_double::fail_next("cudnnBackendExecute", cudaErrorLaunchFailure);
  CHECK(said(in.get(), workspace.get()).find(name) == 0);
  CHECK(said(in.get(), workspace.get()) == "nothing");
}
