// Decoding allocates nothing once it runs: every operator new of the process is counted, on all
// threads.
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"

namespace {

// The replaced operators have no other place to count in.
std::atomic<uint64_t> n_allocations =
    0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

void* Counted(size_t size, size_t alignment) {
  n_allocations.fetch_add(1, std::memory_order_relaxed);
  const size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* const p = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (p == nullptr) {
    throw std::bad_alloc();
  }
  return p;
}

}  // namespace

void* operator new(size_t size) { return Counted(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new[](size_t size) { return Counted(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(size_t size, std::align_val_t alignment) {
  return Counted(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return Counted(size, static_cast<size_t>(alignment));
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

namespace plimsoll::engine {
namespace {

TEST(DecodeAllocations, NoneAfterTheFirstToken) {
  for (const float temperature : {0.0F, 0.8F}) {
    auto engine = Engine::Load({.n_threads = 2}, {});
    ASSERT_TRUE(engine) << engine.error().message;
    auto session = (*engine)->NewSession();
    ASSERT_TRUE(session) << session.error().message;
    const auto prompt =
        (*engine)->tokenizer().Encode("The capital of France is", {.add_bos_eos = true});
    GenerateOptions options = {.n_predict = 100, .stop = {"no such text"}, .ignore_end = true};
    options.sampling.temperature = temperature;
    std::vector<uint64_t> allocations;
    allocations.reserve(200);
    const auto stats = (*session)->Generate(prompt, options, [&](std::string_view /*text*/) {
      allocations.push_back(n_allocations.load(std::memory_order_relaxed));
      return true;
    });
    ASSERT_TRUE(stats) << stats.error().message;
    EXPECT_EQ(stats->n_generated, 100U);
    ASSERT_GE(allocations.size(), 100U);
    // The counter counts: loading allocated.
    EXPECT_GT(allocations.front(), 1000U);
    EXPECT_EQ(allocations.back() - allocations.front(), 0U) << "temperature " << temperature;
  }
}

}  // namespace
}  // namespace plimsoll::engine
