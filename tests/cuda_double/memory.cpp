/// Memory of the device, twice in the address space: where programs believe it to be, nothing may
/// be touched, ever; where the bytes are, only kernels and copies of the double go.
#include <cuda_double/api.hpp>
#include <cuda_double/memory.hpp>
#include <cuda_double/sanitizer.hpp>

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <shared_mutex>

namespace cuda_double {
namespace {

constexpr std::size_t page = 4096, region = std::size_t(1) << 38, alignment = 256;
constexpr std::uint32_t poison = 0x7ff57ff5;  // NaN in 64, 32 and 16 bits, and no index
/// Programs, heaps and stacks lie above, what sanitizers keep below.
constexpr std::uintptr_t lowest_of_host = std::uintptr_t(1) << 46, end_of_host = std::uintptr_t(1)
                                                                                 << 48;

struct Block {
  std::size_t bytes = 0;
  char* pages = nullptr;  // real ones, from the first page on
  std::size_t mapped = 0;
};

struct Device {
  char* base = nullptr;  // of the region that nobody may touch; the other lies behind it
  std::size_t used = 0;
  std::shared_mutex lock;  // workers share it: it orders nothing between them
  std::map<std::uintptr_t, Block> blocks;
  std::map<std::uintptr_t, std::size_t> pinned;
  std::size_t allocated = 0;

  Device() {
    void* const at =
        mmap(nullptr, 2 * region, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) std::abort();
    base = static_cast<char*>(at);
  }
};
Device& device() {
  static Device* const one = new Device;  // outlives every thread
  return *one;
}

bool is_device(void const* at) {
  auto const x = reinterpret_cast<std::uintptr_t>(at);
  auto const base = reinterpret_cast<std::uintptr_t>(device().base);
  return x - base < region;
}

/// The block that holds these bytes; null: none does.
Block const* holder(std::uintptr_t at, std::size_t bytes) {
  auto after = device().blocks.upper_bound(at);
  if (after == device().blocks.begin()) return nullptr;
  auto const& [start, block] = *std::prev(after);
  return at + bytes <= start + block.bytes ? &block : nullptr;
}

void look(void const* at, std::size_t bytes, char const* who) {
  if (bytes == 0) return;
  Side const where = side(at, bytes);
  if (where == Side::pageable)
    throw Fault{cudaErrorIllegalAddress, std::string(who) + ": host memory that is not pinned"};
  if (where == Side::pinned) return;
  std::shared_lock const held(device().lock);
  if (!holder(reinterpret_cast<std::uintptr_t>(at), bytes))
    throw Fault{cudaErrorIllegalAddress,
                std::string(who) + ": " + std::to_string(bytes) + " bytes that are not allocated"};
}

/// Any number may stand in a word: an address of the host's is one where there is memory.
bool is_pageable(void const* at) {
  auto const x = reinterpret_cast<std::uintptr_t>(at);
  if (x < lowest_of_host || x >= end_of_host || is_ours(at) || side(at, 0) == Side::pinned)
    return false;
  unsigned char resident;
  return mincore(reinterpret_cast<void*>(x / page * page), 1, &resident) == 0;
}

}  // namespace

void* real(void const* at) {
  auto* const bytes = static_cast<char*>(const_cast<void*>(at));
  return is_device(at) ? bytes + region : bytes;
}

cudaError_t relocate(void* words, std::size_t bytes) {
  auto* const at = static_cast<char*>(words);
  for (std::size_t i = 0; i + sizeof(void*) <= bytes; i += sizeof(void*)) {
    void* word;
    std::memcpy(&word, at + i, sizeof word);
    if (is_pageable(word))
      return refuse(cudaErrorInvalidValue, "a kernel is given host memory that is not pinned");
    word = real(word);
    std::memcpy(at + i, &word, sizeof word);
  }
  return cudaSuccess;
}

void write(void const* at, std::size_t bytes, char const* who) {
  look(at, bytes, who);
}

void read(void const* at, std::size_t bytes, char const* who) {
  look(at, bytes, who);
  if (!is_device(at)) return;
  auto const x = reinterpret_cast<std::uintptr_t>(at);
  std::size_t const skip = (sizeof poison - x % sizeof poison) % sizeof poison;
  auto const* const from = static_cast<char const*>(real(at));
  for (std::size_t i = skip; i + sizeof poison <= bytes; i += sizeof poison) {
    std::uint32_t word;
    std::memcpy(&word, from + i, sizeof word);
    if (word == poison)
      throw Fault{cudaErrorIllegalAddress, std::string(who) + ": reads what was never written, " +
                                               std::to_string(i) + " bytes behind its start"};
  }
}

void* allocate(std::size_t bytes) {
  std::unique_lock const held(device().lock);
  if (device().allocated + bytes > machine().bytes) return nullptr;
  // The block ends where its last page does, as near as alignment allows; the next one is closed.
  std::size_t const whole = (bytes + alignment - 1) / alignment * alignment;
  std::size_t const mapped = (whole + page - 1) / page * page;
  if (device().used + mapped + page > region) return nullptr;
  char* const first = device().base + device().used;
  device().used += mapped + page;
  char* const pages = first + region;
  if (mprotect(pages, mapped, PROT_READ | PROT_WRITE) != 0) return nullptr;
  char* const start = first + (mapped - whole);
  for (std::size_t i = 0; i < mapped; i += sizeof poison)
    std::memcpy(pages + i, &poison, sizeof poison);
  forbid(pages, mapped + page);
  allow(start + region, bytes);
  device().blocks[reinterpret_cast<std::uintptr_t>(start)] = {bytes, pages, mapped};
  device().allocated += bytes;
  return start;
}

bool release(void* at) {
  std::unique_lock const held(device().lock);
  auto const found = device().blocks.find(reinterpret_cast<std::uintptr_t>(at));
  if (found == device().blocks.end()) return false;
  forbid(found->second.pages, found->second.mapped);
  madvise(found->second.pages, found->second.mapped, MADV_DONTNEED);
  mprotect(found->second.pages, found->second.mapped, PROT_NONE);
  device().allocated -= found->second.bytes;
  device().blocks.erase(found);
  return true;
}

void* pin(std::size_t bytes) {
  void* at = nullptr;
  if (posix_memalign(&at, page, bytes) != 0) return nullptr;
  std::unique_lock const held(device().lock);
  device().pinned[reinterpret_cast<std::uintptr_t>(at)] = bytes;
  return at;
}
bool unpin(void* at) {
  std::unique_lock const held(device().lock);
  if (device().pinned.erase(reinterpret_cast<std::uintptr_t>(at)) == 0) return false;
  std::free(at);
  return true;
}

Side side(void const* at, std::size_t bytes) {
  if (is_device(at)) return Side::device;
  std::shared_lock const held(device().lock);
  auto const x = reinterpret_cast<std::uintptr_t>(at);
  auto after = device().pinned.upper_bound(x);
  if (after == device().pinned.begin()) return Side::pageable;
  auto const& [start, size] = *std::prev(after);
  return x + bytes <= start + size ? Side::pinned : Side::pageable;
}

bool is_ours(void const* at) {
  auto const x = reinterpret_cast<std::uintptr_t>(at);
  return x - reinterpret_cast<std::uintptr_t>(device().base) < 2 * region;
}
std::size_t allocated() {
  std::shared_lock const held(device().lock);
  return device().allocated;
}

}  // namespace cuda_double
