#include "tests/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

// The replaced operators have no other place to count in.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<uint64_t> n_allocations = 0;
std::atomic<uint64_t> n_freed = 0;
std::atomic<uint64_t> n_failed = 0;
std::atomic<uint64_t> failing = 0;  // the count of the allocation that fails
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

void* Counted(size_t size, size_t alignment) noexcept {
  const uint64_t count = n_allocations.fetch_add(1, std::memory_order_relaxed) + 1;
  if (count == failing.load(std::memory_order_relaxed)) {
    n_failed.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  const size_t rounded = (size + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
}

void Free(void* p) noexcept {
  if (p != nullptr) {
    n_freed.fetch_add(1, std::memory_order_relaxed);
    std::free(p);
  }
}

void* CountedOrThrow(size_t size, size_t alignment) {
  void* const p = Counted(size, alignment);
  if (p == nullptr) {
    throw std::bad_alloc();
  }
  return p;
}

constexpr size_t kDefaultAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

void* operator new(size_t size) { return CountedOrThrow(size, kDefaultAlignment); }
void* operator new[](size_t size) { return CountedOrThrow(size, kDefaultAlignment); }
void* operator new(size_t size, std::align_val_t alignment) {
  return CountedOrThrow(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return CountedOrThrow(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Counted(size, kDefaultAlignment);
}
void* operator new[](size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Counted(size, kDefaultAlignment);
}
void operator delete(void* p) noexcept { Free(p); }
void operator delete[](void* p) noexcept { Free(p); }
void operator delete(void* p, size_t /*size*/) noexcept { Free(p); }
void operator delete[](void* p, size_t /*size*/) noexcept { Free(p); }
void operator delete(void* p, std::align_val_t /*alignment*/) noexcept { Free(p); }
void operator delete[](void* p, std::align_val_t /*alignment*/) noexcept { Free(p); }
void operator delete(void* p, size_t /*size*/, std::align_val_t /*alignment*/) noexcept { Free(p); }
void operator delete[](void* p, size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  Free(p);
}

namespace plimsoll {

uint64_t NAllocations() { return n_allocations.load(std::memory_order_relaxed); }

uint64_t NLiveAllocations() {
  return n_allocations.load(std::memory_order_relaxed) - n_failed.load(std::memory_order_relaxed) -
         n_freed.load(std::memory_order_relaxed);
}

void FailAllocation(uint64_t n) { failing = n == 0 ? 0 : n_allocations + n; }

}  // namespace plimsoll
