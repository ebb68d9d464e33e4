#include "tests/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

// The replaced operators have no other place to count in.
std::atomic<uint64_t> n_allocations =
    0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

void* Counted(size_t size, size_t alignment) noexcept {
  n_allocations.fetch_add(1, std::memory_order_relaxed);
  const size_t rounded = (size + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
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
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t /*size*/) noexcept { std::free(p); }
void operator delete[](void* p, size_t /*size*/) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t /*alignment*/) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t /*alignment*/) noexcept { std::free(p); }
void operator delete(void* p, size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(p);
}
void operator delete[](void* p, size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(p);
}

namespace plimsoll {

uint64_t NAllocations() { return n_allocations.load(std::memory_order_relaxed); }

}  // namespace plimsoll
