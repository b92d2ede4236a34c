/// How parts cross the data axis: through the window inside a domain, by MPI between domains.
#pragma once

#include <tessera/backend/cpu/buffer_sum.hpp>
#include <tessera/backend/cpu/domain.hpp>
#include <tessera/backend/cpu/messages.hpp>
#include <tessera/core/setting.hpp>
#include <tessera/run/counter.hpp>

#include <algorithm>
#include <cstring>
#include <span>

namespace tessera::inline TESSERA_SETTING {

/// The data axis is the world, in rank order: D ranks in domains of s. A buffer is D parts; part k
/// belongs to rank k. Nothing here is a barrier of the domain: those are rows of the plan.
/// Every verb is collective and allocates nothing.
class Collective {
 public:
  Collective(World const& world, Domain& domain)
      : rank_(world.rank()),
        size_(world.size()),
        domain_(domain),
        messages_(world, domain.watch(), std::max(1, 2 * (size_ - domain.ranks()))) {}

  /// Every domain obtains the parts that its ranks do not own, each once and straight into place.
  /// Own part k of `whole`, which the domain shares, is there already.
  /// Copies  (D / s - 1) * part bytes per rank; nothing when there is one domain
  void gather(std::byte* whole, Bytes part) {
    for (Bytes at = 0; at < part; at += Messages::largest) {
      Bytes const n = std::min(Messages::largest, part - at);
      for (int r = domain_.local(); r < size_; r += domain_.ranks())
        if (r != rank_) messages_.receive(whole + r * part + at, n, r);
      for (int r = domain_.local(); r < size_; r += domain_.ranks())
        if (r != rank_) messages_.send(whole + rank_ * part + at, n, r);
      messages_.wait();
    }
    traffic_.gathered.count((size_ / domain_.ranks() - 1) * part, (size_ - 1) * part);
  }

  /// Own part of `whole` from the rank's share, before a gather.
  /// Copies  bytes
  void place(std::byte* to, std::byte const* from, Bytes bytes) {
    copy(to, from, bytes);
    traffic_.gathered.count(bytes, 0);
  }

  /// out = sum of part k of every rank's buffer by halves: the same bits in every domain size.
  /// accumulate: out = out + that sum. out may be part k of the own buffer.
  /// peer(l): the buffer of local rank l · exchange: room for (D - s) parts · part: in elements
  /// Copies  (D - 1) * part elements per rank
  template <class T, class Peer>
  void reduce(T* out, bool accumulate, std::int64_t part, Peer const& peer, std::span<T> exchange) {
    T const* const own = peer(domain_.local());
    if (std::int64_t(exchange.size()) < outside() * part)
      throw Error("reduce: the exchange buffer holds " + std::to_string(exchange.size()) +
                  " elements of " + std::to_string(outside() * part) + "; a bug in the plan");
    each_outside<T>(
        part, [&](int r) { return exchange.data() + slot(r) * part; },
        [&](int r) { return own + r * part; });
    auto const part_of = [&](int r) -> T const* {
      return inside(r) ? peer(r - domain_.first()) + rank_ * part
                       : exchange.data() + slot(r) * part;
    };
    sum_ranks(out, accumulate, part, size_, part_of);
    Bytes const others = (size_ - 1) * part * Bytes(sizeof(T));
    traffic_.reduced.count(others, others);
  }

  /// Every rank obtains all reduced parts in its own buffer `whole`.
  /// share(l): the reduced part of local rank l, which may lie in its own buffer's place for it
  /// Copies  (D - 1) * part elements per rank
  template <class T, class Share>
  void gather_gradient(T* whole, std::int64_t part, Share const& share) {
    T const* const mine = share(domain_.local());
    each_outside<T>(
        part, [&](int r) { return whole + r * part; }, [&](int) { return mine; });
    for (int l = 0; l < domain_.ranks(); ++l) {
      T* const at = whole + (domain_.first() + l) * part;
      if (at != share(l)) copy(at, share(l), part);
    }
    Bytes const others = (size_ - 1) * part * Bytes(sizeof(T));
    traffic_.gradients_gathered.count(others, others);
  }

  /// A small table of D rows: every rank obtains all of them; row k is there already.
  /// Copies  (D - 1) * per_rank doubles per rank
  void exchange(double* table, int per_rank) {
    Bytes const bytes = per_rank * Bytes(sizeof(double));
    if (size_ > 1) {
      messages_.all_gather(reinterpret_cast<std::byte*>(table), bytes);
      messages_.wait();
    }
    traffic_.exchanged.count((size_ - 1) * bytes, (size_ - 1) * bytes);
  }

  Traffic const& traffic() const { return traffic_; }

 private:
  int outside() const { return size_ - domain_.ranks(); }
  bool inside(int r) const { return r >= domain_.first() && r < domain_.first() + domain_.ranks(); }
  /// The place of a rank's part in the exchange buffer: rank order without the own domain.
  int slot(int r) const { return r < domain_.first() ? r : r - domain_.ranks(); }

  /// With every rank of other domains: its part into into(r), from(r) to it.
  template <class T, class Into, class From>
  void each_outside(std::int64_t part, Into const& into, From const& from) {
    if (outside() == 0) return;
    constexpr std::int64_t most = Messages::largest / Bytes(sizeof(T));
    for (std::int64_t at = 0; at < part; at += most) {
      Bytes const n = std::min(most, part - at) * Bytes(sizeof(T));
      for (int r = 0; r < size_; ++r)
        if (!inside(r)) messages_.receive(reinterpret_cast<std::byte*>(into(r) + at), n, r);
      for (int r = 0; r < size_; ++r)
        if (!inside(r)) messages_.send(reinterpret_cast<std::byte const*>(from(r) + at), n, r);
      messages_.wait();
    }
  }

  template <class T>
  static void copy(T* to, T const* from, std::int64_t count) {
    std::int64_t const blocks = (count + block - 1) / block;
#pragma omp parallel for schedule(static) if (blocks > 1)
    for (std::int64_t b = 0; b < blocks; ++b)
      std::memcpy(to + b * block, from + b * block,
                  std::size_t(std::min(block, count - b * block)) * sizeof(T));
  }
  static constexpr std::int64_t block = 1 << 16;

  int rank_, size_;
  Domain& domain_;
  Messages messages_;
  Traffic traffic_{};
};

}  // namespace tessera::inline TESSERA_SETTING
