// Memory that is refused, at every n-th request over loading, a prompt, decoding and unloading: an
// error or std::bad_alloc that someone catches, nothing lost, and the next engine works.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "io/machine.h"
#include "tests/allocation_count.h"
#include "tests/is_night.h"

namespace {

// What the replaced mmap counts by; it has no other place.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<uint64_t> n_mappings = 0;
std::atomic<uint64_t> failing_mapping = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

}  // namespace

// Found before the C library's. That of the allocator itself is not this one.
extern "C" void* mmap(void* address, size_t bytes, int protection, int flags, int fd,
                      off_t offset) noexcept {
  if ((flags & MAP_ANONYMOUS) != 0 && ++n_mappings == failing_mapping) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(
      ::syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}

namespace plimsoll::engine {
namespace {

constexpr uint32_t kTokens = 6;

struct Outcome {
  std::string text;
  std::string error;  // of a Result, or "bad_alloc"
  bool is_done() const { return error.empty(); }
};

// Load, prompt, decode, unload.
Result<std::string> Live(const EngineOptions& options) {
  auto engine = Engine::Load(options, {});
  if (!engine) {
    return Forward(engine);
  }
  auto session = (*engine)->NewSession();
  if (!session) {
    return Forward(session);
  }
  std::string text;
  const auto prompt = (*engine)->tokenizer().Encode("The capital of", {.add_bos_eos = true});
  GenerateOptions generate = {.n_predict = kTokens, .ignore_end = true};
  generate.sampling.temperature = 0;
  const auto stats = (*session)->Generate(prompt, generate, [&](std::string_view part) {
    text += part;
    return true;
  });
  if (!stats) {
    return tl::unexpected(stats.error());
  }
  return text;
}

Outcome Attempt(const EngineOptions& options) {
  try {
    auto text = Live(options);
    return text ? Outcome{*text, ""} : Outcome{"", text.error().message};
  } catch (const std::bad_alloc&) {
    return {"", "bad_alloc"};
  }
}

// Experts paged, so that pager, policy and reader are part of it.
EngineOptions Options() {
  EngineOptions options = {.n_ctx = 64, .n_threads = 2, .prefill_chunk = 32};
  const auto engine = Engine::Load(options, {});
  const memory::LedgerSnapshot all = (*engine)->ledger();
  const uint64_t experts = all.of(memory::Account::kExperts).bytes;
  options.memory =
      SizeSpec{.bytes = all.reserved_bytes + all.kept_bytes - experts + experts / 5 + kMiB};
  return options;
}

class AllocationFailures : public testing::Test {
 protected:
  AllocationFailures() : options_(Options()) {
    expected_ = Attempt(options_).text;
    EXPECT_FALSE(expected_.empty());
  }

  // Also that nothing is left behind: what one run keeps for the next (tables of the C++ library)
  // is there already.
  void ExpectClean(const char* what, uint64_t n, const auto& fail) {
    const uint64_t live = NLiveAllocations();
    fail(n);
    {
      const Outcome outcome = Attempt(options_);
      fail(0);
      n_refused_ += static_cast<uint64_t>(!outcome.is_done());
      EXPECT_TRUE(!outcome.is_done() || outcome.text == expected_) << what << " " << n;
    }
    EXPECT_EQ(NLiveAllocations(), live) << what << " " << n;
  }

  EngineOptions options_;
  std::string expected_;
  uint64_t n_refused_ = 0;
};

// A part of loading that is quick enough for every n by day too. What streams do not tell is not
// looked at.
TEST(AllocationFailuresOfFacts, LeaveNothingBehind) {
  const auto read_all = [] {
    return io::ReadMemoryFacts().total + io::ReadCoreFacts().n_usable + io::ProcessorName().size();
  };
  const uint64_t before = NAllocations();
  EXPECT_GT(read_all(), 0U);
  const uint64_t n_all = NAllocations() - before;
  const uint64_t live = NLiveAllocations();
  uint64_t n_refused = 0;
  for (uint64_t n = 1; n <= n_all; ++n) {
    FailAllocation(n);
    try {
      static_cast<void>(read_all());
    } catch (const std::bad_alloc&) {
      ++n_refused;
    }
    FailAllocation(0);
    ASSERT_EQ(NLiveAllocations(), live) << n;
  }
  EXPECT_GT(n_refused, 20U);
}

TEST_F(AllocationFailures, OfTheHeap) {
  const uint64_t before = NAllocations();
  EXPECT_EQ(Attempt(options_).text, expected_);
  const uint64_t n_all = NAllocations() - before;
  ASSERT_GT(n_all, 1000U);
  const uint64_t stride = tests::IsNight() ? 1 : n_all / 40;
  // Those at the end, where all is in use, one by one.
  for (uint64_t n = 1; n <= n_all; n += n + 200 > n_all && !tests::IsNight() ? 7 : stride) {
    ExpectClean("allocation", n, FailAllocation);
  }
  EXPECT_GT(n_refused_, 40U);
  EXPECT_EQ(Attempt(options_).text, expected_);
}

TEST_F(AllocationFailures, OfBigMemory) {
  const auto fail = [](uint64_t n) { failing_mapping = n == 0 ? 0 : n_mappings + n; };
  const uint64_t before = n_mappings;
  EXPECT_EQ(Attempt(options_).text, expected_);
  const uint64_t n_all = n_mappings - before;
  ASSERT_GE(n_all, 4U);  // weights, vocabulary, scratch, KV, frames
  for (uint64_t n = 1; n <= n_all; ++n) {
    ExpectClean("mapping", n, fail);
  }
  EXPECT_GT(n_refused_, 0U);
  EXPECT_EQ(Attempt(options_).text, expected_);
}

}  // namespace
}  // namespace plimsoll::engine
