/// Whole parameters, gradients and optimizer states by path, whatever the layout shards.
#pragma once

#include <tessera/core/random.hpp>
#include <tessera/kernels/weights.hpp>
#include <tessera/run/memory.hpp>
#include <tessera/run/program.hpp>

#include <map>

namespace tessera::inline TESSERA_SETTING {

/// What of a parameter: its values, its last reduced gradient, or an optimizer state.
struct What {
  enum Kind : std::uint8_t { values, gradient, state } kind = values;
  int index = 0;  // of the state
};

class Parameters {
 public:
  /// Where a parameter lives: elements [offset, offset + count) of a flat's layer.
  struct Entry {
    int flat = 0, layer = 0;
    std::int64_t offset = 0;
    Shape shape{};
    Init init{};
    std::string key{};  // the path its first values are drawn for
    bool trainable = true;
    bool running = false;
  };

  Parameters(World const& world, Memory& memory, std::span<SegmentGraph const> segments)
      : world_(world), memory_(memory) {
    std::map<std::pair<int, int>, std::string> tied;  // flat and offset -> first path
    Plan const& p = memory.plan();
    for (SegmentGraph const& s : segments)
      for (int layer = 0; layer < s.layers; ++layer)
        for (std::size_t k = 0; k < s.parameters.size(); ++k) {
          ParameterPlace const& place = s.places[k];
          FlatInfo const& flat = p.facts.flats[std::size_t(place.flat)];
          std::string const path = numbered(s.parameters[k].path.view(), layer);
          Entry e{place.flat,           flat_layer(flat, layer),
                  place.offset,         s.parameters[k].shape,
                  s.parameters[k].init, path,
                  flat.trainable,       flat.running};
          if (flat.tied) {
            auto const first = tied.try_emplace({place.flat, int(place.offset)}, path).first;
            e.key = first->second;
          }
          if (e.key == path) order_.push_back(path);
          entries_.emplace(path, e);
        }
  }

  /// Paths in the order of the model; of a tied parameter the first one.
  std::vector<std::string> const& paths() const { return order_; }
  Entry const& find(std::string const& path) const {
    auto const e = entries_.find(path);
    if (e == entries_.end())
      throw Error("there is no parameter '" + path + "'; paths are like '" + order_.front() +
                      "' (paths() lists all)",
                  true);
    return e->second;
  }

  /// Collective. The whole tensor on every rank, row-major.
  std::vector<Real> read(What what, std::string const& path) {
    Entry const& e = find(path);
    require(what, e, path);
    std::int64_t const count = e.shape.count();
    std::vector<Real> out(std::size_t(count), Real(0));
    settle();
    clip(hold(what, e), e, false, [&](Stored const& at, std::int64_t from, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) out[std::size_t(from + i)] = at.get(i);
    });
    if (shards(what, e)) {
      // Every element is held by one rank and 0 elsewhere; -0.0 + 0.0 is 0.0, so bits are or'ed.
      mpi::check(MPI_Allreduce(MPI_IN_PLACE, out.data(), int(count * Bytes(sizeof(Real)) / 4),
                               MPI_UINT32_T, MPI_BOR, world_.comm()),
                 "MPI_Allreduce");
    }
    settle();
    return out;
  }

  /// Collective: every rank gives the same values.
  void write(What what, std::string const& path, std::span<Real const> values) {
    Entry const& e = find(path);
    require(what, e, path);
    if (std::int64_t(values.size()) != e.shape.count())
      throw Error("'" + path + "' has " + std::to_string(e.shape.count()) + " elements, not " +
                      std::to_string(values.size()),
                  true);
    settle();
    written(what, e, [&](Stored const& at, std::int64_t from, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) at.set(i, values[std::size_t(from + i)]);
    });
    settle();
  }

  /// First values from the counter-based generator: the same for every layout.
  void initialize(std::uint64_t seed) {
    for (std::string const& path : order_) {
      Entry const& e = find(path);
      RandomKey const key(seed, e.key);
      written({}, e, [&](Stored const& at, std::int64_t from, std::int64_t n) {
        if (e.init.kind != Init::normal)
          for (std::int64_t i = 0; i < n; ++i) at.set(i, Real(e.init.kind == Init::ones));
        else
          draw(key, from, n, e.init.deviation, at);
      });
    }
    settle();
  }

 private:
  /// Values in memory: Real; or 16-bit weights, and what makes them exact where this rank keeps it.
  struct Stored {
    void* at = nullptr;
    DType low = DType::real;
    void* master = nullptr;

    Real* real() const { return static_cast<Real*>(at); }
    kernel::Split split() const {
      return {static_cast<bf16*>(at), static_cast<std::int16_t*>(master)};
    }
    kernel::Master beside() const { return {static_cast<fp16*>(at), static_cast<float*>(master)}; }

    Real get(std::int64_t i) const {
      if (low == DType::real) return real()[i];
      if (low == DType::bf16) return Real(master ? split().get(i) : float(split().at[i]));
      return Real(master ? beside().get(i) : float(beside().at[i]));
    }
    void set(std::int64_t i, Real x) const {
      if (low == DType::real) {
        real()[i] = x;
      } else if (low == DType::bf16) {
        split().at[i] = kernel::Split::high(float(x));
        if (master) split().remainder[i] = kernel::Split::low(float(x));
      } else {
        beside().at[i] = fp16(x);
        if (master) beside().exact[i] = float(x);
      }
    }
    Stored from(std::int64_t i) const {
      auto const moved = [i](void* p, Bytes each) -> void* {
        return p ? static_cast<std::byte*>(p) + i * each : nullptr;
      };
      return {moved(at, size_of(low)), low, moved(master, master_of(low))};
    }
  };

  static void draw(RandomKey key, std::int64_t first, std::int64_t n, float deviation,
                   Stored const& out) {
    constexpr std::int64_t block = 1 << 16;
#pragma omp parallel for schedule(static)
    for (std::int64_t b = 0; b < (n + block - 1) / block; ++b) {
      std::int64_t const from = b * block, size = std::min(block, n - from);
      if (out.low == DType::real) {
        fill_normal(key, first + from, size, deviation, out.real() + from);
      } else {
        std::vector<Real> drawn(static_cast<std::size_t>(size));
        fill_normal(key, first + from, size, deviation, drawn.data());
        for (std::int64_t i = 0; i < size; ++i) out.set(from + i, drawn[std::size_t(i)]);
      }
    }
  }

  /// Elements [begin, end) of a flat's layer, the first of them at `at`.
  struct Held {
    Stored at{};
    std::int64_t begin = 0, end = 0;
  };

  /// Several ranks hold what another one can only ask for. Exact values of 16-bit weights are with
  /// the optimizer's states.
  bool shards(What what, Entry const& e) const {
    Plan const& p = memory_.plan();
    bool const beside = p.master(e.flat) > 0 && e.trainable;
    return what.kind == What::values && !beside ? p.gathers_into_slots() : p.steps_own_part();
  }
  /// The weights that this rank keeps of elements [begin, end).
  Held weights(Entry const& e, std::int64_t begin, std::int64_t end) {
    Plan const& p = memory_.plan();
    std::int64_t const part = p.part_elements(e.flat), mine = world_.rank() * part;
    std::byte* const at = memory_.weights(e.flat, e.layer) +
                          (begin - (p.gathers_into_slots() ? mine : 0)) * p.weight(e.flat);
    std::byte* master = memory_.master(e.flat, e.layer);
    bool const own = begin == mine && end == mine + part;
    if (p.steps_own_part() && !own) master = nullptr;
    return {{.at = at, .low = p.stored(e.flat), .master = master}, begin, end};
  }
  Held hold(What what, Entry const& e) {
    Plan const& p = memory_.plan();
    std::int64_t const part = p.part_elements(e.flat), first = world_.rank() * part;
    bool const mine = shards(what, e);
    Held h{{}, mine ? first : 0, mine ? first + part : p.whole_elements(e.flat)};
    switch (what.kind) {
      case What::values: return weights(e, h.begin, h.end);
      case What::gradient:
        h.at.at = mine ? memory_.reduced(e.flat, e.layer, world_.rank())
                       : memory_.whole_gradient(e.flat, e.layer);
        break;
      case What::state:
        h.at = {.at = memory_.state(e.flat, e.layer, what.index), .low = p.state_type(e.flat)};
        break;
    }
    return h;
  }

  /// f(at, from, n): elements [from, from + n) of the parameter, of those in h, on the host.
  template <class F>
  void clip(Held const& h, Entry const& e, bool changes, F const& f) {
    std::int64_t const begin = std::max(h.begin, e.offset), first = begin - e.offset;
    std::int64_t const n = std::min(h.end, e.offset + e.shape.count()) - begin;
    if (n <= 0) return;
    Stored const at = h.at.from(begin - h.begin);
    Device& device = memory_.device();
    device.on_host(static_cast<std::byte*>(at.at), n * size_of(at.low), changes,
                   [&](std::byte* values) {
                     if (!at.master) return f(Stored{values, at.low, nullptr}, first, n);
                     device.on_host(static_cast<std::byte*>(at.master), n * master_of(at.low),
                                    changes, [&](std::byte* rest) {
                                      f(Stored{values, at.low, rest}, first, n);
                                    });
                   });
  }
  /// What this rank has to write: ranks of a domain that has one copy divide it by parts.
  template <class F>
  void written(What what, Entry const& e, F f) {
    Plan const& p = memory_.plan();
    if (what.kind != What::values || !p.steps_own_part() || p.gathers_into_slots())
      return clip(hold(what, e), e, true, f);
    std::int64_t const part = p.part_elements(e.flat);
    for (int r = world_.rank() % p.mesh.domain; r < p.mesh.data; r += p.mesh.domain)
      clip(weights(e, r * part, (r + 1) * part), e, true, f);
  }

  static void require(What what, Entry const& e, std::string const& path) {
    if (what.kind != What::values && !e.trainable)
      throw Error("'" + path + "' is frozen: it has neither gradient nor optimizer state", true);
    if (what.kind != What::values && e.running)
      throw Error("'" + path +
                      "' is a running statistic: it has neither gradient nor optimizer state; "
                      "read it with parameter(path)",
                  true);
  }

  /// Nobody reads while somebody writes; and domains of one copy each hold the same values.
  void settle() {
    if (world_.size() > 1) mpi::check(MPI_Barrier(world_.comm()), "MPI_Barrier");
  }

  World const& world_;
  Memory& memory_;
  std::map<std::string, Entry> entries_;
  std::vector<std::string> order_;
};

}  // namespace tessera::inline TESSERA_SETTING
