/// A rank on cores: one stream, private memory, and a window with the ranks of its domain.
#pragma once

#include <tessera/backend/cpu/arena.hpp>
#include <tessera/backend/cpu/collective.hpp>
#include <tessera/backend/cpu/cpu.hpp>
#include <tessera/device/device.hpp>
#include <tessera/kernels/reduce.hpp>
#include <tessera/kernels/running.hpp>

namespace tessera::inline TESSERA_SETTING {

class CpuDevice final : public Device {
 public:
  CpuDevice(World const& world, Plan const& plan) : CpuDevice(world, plan, Placement(plan)) {}

  /// Ranks that share memory, if nothing speaks against it.
  static int domain(World const& world) { return world.size() == 1 ? 1 : world.domain(); }
  /// Collective. Why this plan's ranks cannot share memory, on every rank.
  static std::optional<std::string> shortage(World const& world, Plan const& plan) {
    Bytes const window = Placement(plan).window_bytes();
    if (plan.mesh.domain == 1 || Domain::fits(world, plan.mesh.domain, window)) return {};
    return Domain::shortage(world, plan.mesh.domain, window)
        .value_or("shared memory is short on another machine");
  }

  std::byte* base(Arena arena) override {
    if (arena == Arena::host) return host_.base();
    return arena == Arena::own ? own_.base() : domain_.base();
  }
  void on_host(std::byte* at, Bytes, bool, FunctionRef<void(std::byte*)> f) override { f(at); }
  std::shared_ptr<std::byte> allocate(Bytes bytes) override {
    return {new std::byte[std::size_t(bytes)]{}, std::default_delete<std::byte[]>()};
  }

  void barrier() override { domain_.barrier(); }
  void doing(int row, int layer, int micro) override { domain_.doing(row, layer, micro); }

  std::byte* stage(std::byte* at, Bytes, int) override { return at; }
  void send(std::byte*, Bytes, int) override {}
  void fetch(Real* to, Real const* from, std::int64_t n) override { std::copy_n(from, n, to); }

  void gather(std::byte* whole, Bytes part) override { collective_.gather(whole, part); }
  void place(std::byte* to, std::byte const* from, Bytes bytes) override {
    collective_.place(to, from, bytes);
  }
  void reduce(Real* out, bool accumulate, std::int64_t part, Buffers buffers,
              std::span<Real> exchange) override {
    collective_.reduce(out, accumulate, part, buffers, exchange);
  }
  void gather_gradient(Real* whole, std::int64_t part, Buffers shares) override {
    collective_.gather_gradient(whole, part, shares);
  }
  void exchange(double* table, int per_rank) override { collective_.exchange(table, per_rank); }
  void exchange_sums(double* table, int per_rank) override { exchange(table, per_rank); }
  Traffic const& traffic() const override { return collective_.traffic(); }

  void seed(Real* to, Real const* scales, Real value, std::int64_t n) override {
    for (std::int64_t i = 0; i < n; ++i) to[i] = value * (scales ? scales[i] : Real(1));
  }
  void clear(Real* at, std::int64_t n) override { std::fill_n(at, n, Real(0)); }
  void sum_in_order(Real* out, std::int64_t n, int parts,
                    FunctionRef<Real const*(int)> part) override {
    tessera::sum_in_order(out, n, parts, part);
  }
  void add_rows(double* to, std::int64_t n, double const* rows, int count,
                std::int64_t stride) override {
    CpuTeam{}.run(kernel::AddRows{.to = to, .x = rows, .n = n, .height = count, .stride = stride});
  }
  void add_squares(ExactSum& to, Real const* x, std::int64_t n,
                   std::span<double> scratch) override {
    std::int64_t const room = std::int64_t(scratch.size()) * kernel::SquaredSum<Real>::piece;
    for (std::int64_t i = 0; i < n; i += room) {
      kernel::SquaredSum<Real> const pieces{scratch.data(), x + i, std::min(room, n - i)};
      CpuTeam{}.run(pieces);
      for (std::int64_t k = 0; k < pieces.rows(); ++k) to.add(scratch[std::size_t(k)]);
    }
  }
  void add_change(Real* statistics, Real const* change, std::int64_t n, double share) override {
    CpuTeam{}.run(kernel::AddChange<Real>{statistics, change, n, share});
  }

 private:
  CpuDevice(World const& world, Plan const& plan, Placement const& place)
      : domain_(world, plan.mesh.domain, place.window_bytes()),
        own_(place.private_bytes()),
        host_(place.host_bytes()),
        collective_(world, domain_) {}

  Domain domain_;
  PrivateArena own_, host_;
  Collective collective_;
};

template <>
struct DeviceOf<Cpu> {
  using type = CpuDevice;
};

}  // namespace tessera::inline TESSERA_SETTING
