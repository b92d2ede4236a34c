/// What the engine asks of a backend: a rank's memory, the order of its streams, how parts cross
/// the data axis, and the engine's own kernels. Plan row -> Device -> kernel.
#pragma once

#include <tessera/core/exact_sum.hpp>
#include <tessera/core/function_ref.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/plan/memory.hpp>
#include <tessera/run/counter.hpp>
#include <tessera/run/world.hpp>

#include <memory>
#include <span>

namespace tessera::inline TESSERA_SETTING {

/// One rank's memory and streams. The data axis is the world, in rank order: D ranks in domains of
/// s that share memory. A buffer that crosses it is D parts; part k belongs to rank k. What a row
/// asks for is done behind all that its stream was asked before; on cores, before the verb returns.
class Device {
 public:
  /// A buffer of the domain's k-th rank.
  using Buffers = FunctionRef<Real*(int)>;

  Device() = default;
  Device(Device const&) = delete;
  Device& operator=(Device const&) = delete;
  virtual ~Device() = default;

  // Memory, zeroed before step 0. Offsets are the plan's.

  virtual std::byte* base(Arena arena) = 0;
  /// f(bytes): what lies at `at`, for the host to read, and to write if it changes. Behind all
  /// rows of all streams.
  virtual void on_host(std::byte* at, Bytes bytes, bool changes,
                       FunctionRef<void(std::byte*)> f) = 0;
  /// More of it, for what is no part of a plan; not during a step.
  virtual std::shared_ptr<std::byte> allocate(Bytes bytes) = 0;

  // Order.

  /// A step begins: behind everything.
  virtual void start() {}
  /// A turn of the plan begins.
  virtual void enter(int) {}
  /// What is asked from here on is on this stream, behind these waits.
  virtual void issue(Stream, Waits const&) {}
  /// The stream, as kernels see it: Call::queue.
  virtual void* queue() { return nullptr; }
  /// work(), or the same again: what it asked of the stream when it was first given this key, which
  /// says all that it depends on.
  virtual void repeat(std::span<std::uint64_t const> /*key*/, FunctionRef<void()> work) { work(); }
  /// Everything that was asked is done, and numbers that verbs promised are there.
  virtual void finish() {}
  virtual void barrier() = 0;
  /// Where this rank is in the plan, for whoever waits for it.
  virtual void doing(int row, int layer, int micro) = 0;
  /// What is asked until leave() is part of a row, whose words a profiler shows.
  virtual void name(char const* /*words*/) {}
  virtual void leave() {}

  // Numbers between host and device.

  /// Where the host writes the bytes that send(at, ...) brings to `at`.
  virtual std::byte* stage(std::byte* at, Bytes bytes, int micro) = 0;
  virtual void send(std::byte* at, Bytes bytes, int micro) = 0;
  /// n numbers into Arena::host, where they are when finish() returns.
  virtual void fetch(Real* to, Real const* from, std::int64_t n) = 0;

  // Parts across the data axis; collective.

  /// Every domain obtains the parts that its ranks do not own, each once and straight into place.
  /// Own part k of `whole`, which the domain shares, is there already.
  virtual void gather(std::byte* whole, Bytes part) = 0;
  /// Own part of `whole` from the rank's share, before a gather.
  virtual void place(std::byte* to, std::byte const* from, Bytes bytes) = 0;
  /// out = sum of part k of every rank's buffer by halves: the same bits in every domain size.
  /// accumulate: out = out + that sum. out may be part k of the own buffer. An unordered plan's
  /// sum is in any order, may leave part k of the own buffer changed, and has no exchange.
  /// exchange  room for (D - s) parts · part  in elements
  virtual void reduce(Real* out, bool accumulate, std::int64_t part, Buffers buffers,
                      std::span<Real> exchange) = 0;
  /// Every rank obtains all reduced parts in its own buffer `whole`.
  /// shares(k): the reduced part of local rank k, which may lie in its own buffer's place for it
  virtual void gather_gradient(Real* whole, std::int64_t part, Buffers shares) = 0;
  /// A small table of D rows in host memory: every rank obtains all; row k is there already.
  virtual void exchange(double* table, int per_rank) = 0;
  /// The same with a table that only kernels read and write.
  virtual void exchange_sums(double* table, int per_rank) = 0;

  virtual Traffic const& traffic() const = 0;

  // The engine's own kernels.

  /// to[i] = value (* scales[i], if there are any)
  virtual void seed(Real* to, Real const* scales, Real value, std::int64_t n) = 0;
  virtual void clear(Real* at, std::int64_t n) = 0;
  /// out = part 0 + part 1 + ... from the left; out may be any of them.
  virtual void sum_in_order(Real* out, std::int64_t n, int parts,
                            FunctionRef<Real const*(int)> part) = 0;
  /// to[i] = rows[0, i] + rows[1, i] + ... in order, i < n; rows [count, stride]
  virtual void add_rows(double* to, std::int64_t n, double const* rows, int count,
                        std::int64_t stride) = 0;
  /// Adds the sum of squares of x, exactly from pieces of 256 on, to `to` when finish() returns.
  virtual void add_squares(ExactSum& to, Real const* x, std::int64_t n,
                           std::span<double> scratch) = 0;
  /// statistics += share * change
  virtual void add_change(Real* statistics, Real const* change, std::int64_t n, double share) = 0;
};

/// DeviceOf<Backend>::type: its Device, with
///   static int domain(World const&)               ranks that share memory, if nothing forbids it
///   static std::optional<std::string> shortage(World const&, Plan const&)
///                                                 collective; why they cannot, in a sentence
template <class Backend>
struct DeviceOf;

/// How a rank's device of a backend is made.
using MakeDevice = std::unique_ptr<Device> (*)(World const&, Plan const&);

}  // namespace tessera::inline TESSERA_SETTING
