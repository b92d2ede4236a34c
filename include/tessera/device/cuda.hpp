/// A rank on a GPU: an arena that never grows, streams that wait where the plan does, NCCL between
/// ranks. The host waits in finish() alone.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/backend/cpu/messages.hpp>
#include <tessera/backend/cuda/cuda.hpp>
#include <tessera/backend/cuda/gpu.hpp>
#include <tessera/backend/cuda/graphs.hpp>
#include <tessera/backend/cuda/memory.hpp>
#include <tessera/backend/cuda/nccl.hpp>
#include <tessera/device/cuda_streams.hpp>
#include <tessera/device/device.hpp>
#include <tessera/kernels/exact_sum.hpp>
#include <tessera/kernels/reduce.hpp>
#include <tessera/kernels/running.hpp>
#include <tessera/kernels/sum_parts.hpp>

#include <nvtx3/nvToolsExt.h>

#include <vector>

namespace tessera::inline TESSERA_SETTING {

namespace detail {
struct Seed {
  Real* to;
  Real const* scales;
  Real value;
  TESSERA_BOTH void operator()(std::int64_t i) const { to[i] = scales ? value * scales[i] : value; }
};
}  // namespace detail

class CudaDevice final : public Device {
 public:
  CudaDevice(World const& world, Plan const& plan) : CudaDevice(world, plan, Placement(plan)) {}
  ~CudaDevice() override {
    // Memory must outlive the work on it; while an exception unwinds, nothing more is waited for.
    if (std::uncaught_exceptions() == 0) cudaDeviceSynchronize();
  }

  /// Ranks do not read each other's memory.
  static int domain(World const&) { return 1; }
  static std::optional<std::string> shortage(World const&, Plan const&) { return {}; }

  std::byte* base(Arena arena) override { return arena == Arena::host ? host_.get() : own_.get(); }
  void on_host(std::byte* at, Bytes bytes, bool changes, FunctionRef<void(std::byte*)> f) override {
    finish();
    std::vector<std::byte> copy(static_cast<std::size_t>(bytes));
    cudaStream_t const stream = streams_.of(Stream::compute);
    bounce(bytes, [&](Bytes from, std::size_t n) {
      copy_async(bounce_.get(), at + from, n, cudaMemcpyDeviceToHost, stream);
      finish();
      std::memcpy(copy.data() + from, bounce_.get(), n);
    });
    f(copy.data());
    if (!changes) return;
    bounce(bytes, [&](Bytes from, std::size_t n) {
      std::memcpy(bounce_.get(), copy.data() + from, n);
      copy_async(at + from, bounce_.get(), n, cudaMemcpyHostToDevice, stream);
      finish();
    });
  }
  std::shared_ptr<std::byte> allocate(Bytes bytes) override {
    auto const memory = std::make_shared<cuda::DeviceMemory>(bytes, streams_.of(Stream::compute));
    return {memory, memory->get()};
  }

  void start() override { streams_.start(); }
  void enter(int turn) override { streams_.enter(turn); }
  void issue(Stream stream, Waits const& waits) override { streams_.issue(stream, waits); }
  void* queue() override { return streams_.current(); }
  void repeat(std::span<std::uint64_t const> key, FunctionRef<void()> work) override {
    graphs_.repeat(key, streams_.current(), work);
  }
  void finish() override {
    if (squares_to_) {
      copy_async(squares_seen_.get(), squares_, sizeof(ExactSum), cudaMemcpyDeviceToHost,
                 streams_.of(Stream::compute));
      cuda::check(cudaMemsetAsync(squares_, 0, sizeof(ExactSum), streams_.of(Stream::compute)),
                  "cudaMemsetAsync");
    }
    for (int s = 0; s < streams; ++s) wait(streams_.of(Stream(s)));
    if (!squares_to_) return;
    std::exchange(squares_to_, nullptr)->add(*reinterpret_cast<ExactSum*>(squares_seen_.get()));
  }
  /// Ranks share nothing that a plan orders by barriers.
  void barrier() override {}
  void doing(int row, int layer, int micro) override { watch_.doing(row, layer, micro); }
  void name(char const* row) override { nvtxRangePushA(row); }
  void leave() override { nvtxRangePop(); }

  std::byte* stage(std::byte*, Bytes bytes, int micro) override {
    return staging_.get() + micro * aligned(bytes);
  }
  void send(std::byte* at, Bytes bytes, int micro) override {
    copy_async(at, stage(at, bytes, micro), std::size_t(bytes), cudaMemcpyHostToDevice,
               streams_.current());
  }
  void fetch(Real* to, Real const* from, std::int64_t n) override {
    copy_async(to, from, std::size_t(n) * sizeof(Real), cudaMemcpyDeviceToHost, streams_.current());
  }

  void gather(std::byte* whole, Bytes part) override {
    data_.all_gather(whole + rank_ * part, whole, part, streams_.current());
    traffic_.gathered.count((ranks_ - 1) * part, (ranks_ - 1) * part);
  }
  void place(std::byte* to, std::byte const* from, Bytes bytes) override {
    copy_async(to, from, std::size_t(bytes), cudaMemcpyDeviceToDevice, streams_.current());
    traffic_.gathered.count(bytes, 0);
  }
  void reduce(Real* out, bool accumulate, std::int64_t part, Buffers buffers,
              std::span<Real> exchange) override {
    Real* const whole = buffers(0);
    Bytes const bytes = part * Bytes(sizeof(Real)), others = (ranks_ - 1) * bytes;
    traffic_.reduced.count(others, others);
    if (unordered_) {
      Real* const sum = accumulate ? whole + rank_ * part : out;
      data_.reduce_scatter(whole, sum, part, streams_.current());
      if (accumulate)
        sum_in_order(out, part, 2, [&](int k) -> Real const* { return k == 0 ? out : sum; });
      return;
    }
    if (Bytes(exchange.size_bytes()) < others)
      throw Error("reduce: the exchange buffer holds " + std::to_string(exchange.size_bytes()) +
                  " bytes of " + std::to_string(others) + "; a bug in the plan");
    data_.exchange(
        [&](int r) { return reinterpret_cast<std::byte const*>(whole + r * part); },
        [&](int r) {
          return reinterpret_cast<std::byte*>(exchange.data() + (r < rank_ ? r : r - 1) * part);
        },
        bytes, streams_.current());
    team().run(kernel::SumParts<Real>{.out = out,
                                      .own = whole + rank_ * part,
                                      .others = exchange.data(),
                                      .n = part,
                                      .rank = rank_,
                                      .ranks = ranks_,
                                      .accumulate = accumulate});
  }
  void gather_gradient(Real* whole, std::int64_t part, Buffers shares) override {
    Bytes const bytes = part * Bytes(sizeof(Real));
    data_.all_gather(reinterpret_cast<std::byte*>(shares(0)), reinterpret_cast<std::byte*>(whole),
                     bytes, streams_.current());
    traffic_.gradients_gathered.count((ranks_ - 1) * bytes, (ranks_ - 1) * bytes);
  }
  /// Between hosts: whoever asks waits for the numbers anyway.
  void exchange(double* table, int per_rank) override {
    Bytes const bytes = per_rank * Bytes(sizeof(double));
    if (ranks_ > 1) {
      messages_.all_gather(reinterpret_cast<std::byte*>(table), bytes);
      messages_.wait();
    }
    traffic_.exchanged.count((ranks_ - 1) * bytes, (ranks_ - 1) * bytes);
  }
  void exchange_sums(double* table, int per_rank) override {
    Bytes const bytes = per_rank * Bytes(sizeof(double));
    auto* const whole = reinterpret_cast<std::byte*>(table);
    data_.all_gather(whole + rank_ * bytes, whole, bytes, streams_.current());
    traffic_.exchanged.count((ranks_ - 1) * bytes, (ranks_ - 1) * bytes);
  }
  Traffic const& traffic() const override { return traffic_; }

  void seed(Real* to, Real const* scales, Real value, std::int64_t n) override {
    team().each(n, detail::Seed{to, scales, value});
  }
  void clear(Real* at, std::int64_t n) override {
    cuda::check(cudaMemsetAsync(at, 0, std::size_t(n) * sizeof(Real), streams_.current()),
                "cudaMemsetAsync");
  }
  void sum_in_order(Real* out, std::int64_t n, int parts,
                    FunctionRef<Real const*(int)> part) override {
    kernel::SumInOrder<Real> sum{.out = out, .n = n, .parts = parts, .part = {}};
    if (parts > sum.most)
      throw Error("a sum of " + std::to_string(parts) + " buffers, and " +
                  std::to_string(sum.most) + " at most; a bug in the plan");
    for (int k = 0; k < parts; ++k) sum.part[k] = part(k);
    team().run(sum);
  }
  void add_rows(double* to, std::int64_t n, double const* rows, int count,
                std::int64_t stride) override {
    team().run(kernel::AddRows{.to = to, .x = rows, .n = n, .height = count, .stride = stride});
  }
  void add_squares(ExactSum& to, Real const* x, std::int64_t n,
                   std::span<double> scratch) override {
    squares_to_ = &to;
    std::int64_t const room = std::int64_t(scratch.size()) * kernel::SquaredSum<Real>::piece;
    for (std::int64_t i = 0; i < n; i += room) {
      kernel::SquaredSum<Real> const pieces{scratch.data(), x + i, std::min(room, n - i)};
      team().run(pieces);
      std::int64_t const parts = kernel::SumExactly::parts_of(pieces.rows(), most_sums);
      team().run(kernel::SumExactly{
          .sums = sums_, .x = scratch.data(), .n = pieces.rows(), .parts = parts});
      team().run(
          kernel::AddSums{.total = squares_, .sums = sums_, .parts = parts, .accumulate = true});
    }
  }
  void add_change(Real* statistics, Real const* change, std::int64_t n, double share) override {
    team().run(kernel::AddChange<Real>{statistics, change, n, share});
  }

 private:
  static constexpr Bytes bounce_bytes = 4_MiB;
  static constexpr std::int64_t most_sums = kernel::SumExactly::most_parts;

  CudaDevice(World const& world, Plan const& plan, Placement const& place)
      : rank_(world.rank()),
        ranks_(world.size()),
        crowded_(world.crowded()),
        unordered_(plan.layout.unordered),
        watch_(world),
        messages_(world, watch_, 1),
        gpu_(world, place.private_bytes()),
        all_(world, watch_),
        data_(all_, plan.mesh.data_axis(rank_), plan.mesh.data_index(rank_), plan.mesh.data) {
    std::optional<std::string> problem;
    try {
      cudaStream_t const stream = streams_.of(Stream::compute);
      own_ = cuda::DeviceMemory(place.private_bytes(), stream);
      numbers_ = cuda::DeviceMemory((1 + most_sums) * Bytes(sizeof(ExactSum)), stream);
      host_ = cuda::PinnedMemory(place.host_bytes());
      staging_ = cuda::PinnedMemory(plan.micros * aligned(plan.facts.batch));
      bounce_ = cuda::PinnedMemory(bounce_bytes);
      squares_seen_ = cuda::PinnedMemory(sizeof(ExactSum));
      squares_ = reinterpret_cast<ExactSum*>(numbers_.get());
      sums_ = squares_ + 1;
    } catch (Error const& error) {
      problem = error.what();
    }
    world.agree(problem);
  }

  CudaTeam team() const { return {streams_.current()}; }

  static void copy_async(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind,
                         cudaStream_t stream) {
    cuda::check(cudaMemcpyAsync(to, from, bytes, kind, stream), "cudaMemcpyAsync");
  }
  template <class F>
  void bounce(Bytes bytes, F const& f) {
    for (Bytes from = 0; from < bytes; from += bounce_bytes)
      f(from, std::size_t(std::min(bounce_bytes, bytes - from)));
  }

  /// With an eye on the other ranks.
  void wait(cudaStream_t stream) {
    Backoff backoff(crowded_);
    for (;;) {
      cudaError_t const code = cudaStreamQuery(stream);
      if (code == cudaSuccess) return;
      if (code != cudaErrorNotReady) cuda::check(code, "a kernel or copy that was issued before");
      all_.check();
      data_.check();
      backoff.pause(
          [&](double seconds) { watch_.look(seconds, [&](int rank) { return rank != rank_; }); });
    }
  }

  int rank_, ranks_;
  bool crowded_, unordered_;
  Watch watch_;
  Messages messages_;
  cuda::Gpu gpu_;
  CudaStreams streams_;
  cuda::Graphs graphs_;
  cuda::DeviceMemory own_, numbers_;
  cuda::PinnedMemory host_, staging_, bounce_, squares_seen_;
  ExactSum *squares_ = nullptr, *sums_ = nullptr;  // of all pieces so far; of one call's
  ExactSum* squares_to_ = nullptr;
  cuda::Nccl all_, data_;
  Traffic traffic_{};
};

template <>
struct DeviceOf<Cuda> {
  using type = CudaDevice;
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
