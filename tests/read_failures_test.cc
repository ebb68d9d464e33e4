// Reads that fail, are short or interrupted, at any call to the system over opening a model,
// loading it, three requests and unloading: whoever needs one that fails is told once, the others
// get what they should, and what comes after works.
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "tests/failing_model.h"
#include "tests/is_night.h"

namespace {

// A disk of which a place cannot be read from the n-th read on, or that one read alone; or whose
// reads are short or interrupted.
struct FailingReads {
  std::mutex mutex;
  uint64_t n_reads = 0;
  uint64_t seed = 0;
  double share = 0;      // of the reads that are short, and of those that are interrupted
  uint64_t failing = 0;  // 0: none
  bool lasting = false;
  int file = -1;  // of the place
  off_t place = -1;

  void Fail(uint64_t n, bool lastingly) {
    const std::lock_guard lock(mutex);
    n_reads = 0;
    failing = n;
    lasting = lastingly;
    place = -1;
    share = 0;
  }
  void Disturb(uint64_t new_seed, double new_share) {
    Fail(0, false);
    const std::lock_guard lock(mutex);
    seed = new_seed;
    share = new_share;
  }
  // errno, or 0.
  int ErrorOf(int fd, size_t bytes, off_t offset) {
    const std::lock_guard lock(mutex);
    ++n_reads;
    if (const double random = plimsoll::UniformAt(seed, n_reads, 0); random < share) {
      return random < share / 2 ? EINTR : EAGAIN;
    }
    if (n_reads == failing && lasting) {
      file = fd;
      place = offset;
    }
    const bool is_place =
        fd == file && place >= offset && place < offset + static_cast<off_t>(bytes);
    return n_reads == failing || is_place ? EIO : 0;
  }
  // What is told of a read that gave so many bytes.
  ssize_t Shortened(ssize_t bytes) {
    const std::lock_guard lock(mutex);
    const bool is_short = bytes > 1 && plimsoll::UniformAt(seed, n_reads, 1) < share;
    const double random = plimsoll::UniformAt(seed, n_reads, 2);
    return is_short ? 1 + static_cast<ssize_t>(random * static_cast<double>(bytes - 1)) : bytes;
  }
};

// What the replaced pread goes by; it has no other place.
FailingReads& TheReads() {
  static FailingReads reads;
  return reads;
}

}  // namespace

// Found before the C library's, whose header has an inline function of this name.
extern "C" ssize_t FailingPread(int fd, void* to, size_t bytes, off_t offset) __asm__("pread");
extern "C" ssize_t FailingPread(int fd, void* to, size_t bytes, off_t offset) {
  if (const int error = TheReads().ErrorOf(fd, bytes, offset); error != 0) {
    errno = error;
    return -1;
  }
  return TheReads().Shortened(::syscall(SYS_pread64, fd, to, bytes, offset));
}

namespace plimsoll::tests {
namespace {

constexpr std::array<const char*, 3> kPrompts = {"The capital of", "Which city", "It is"};

// Experts paged and read by threads, each part of which is a pread.
engine::EngineOptions Options() {
  engine::EngineOptions options = {.model = BundledModel(),
                                   .n_ctx = 64,
                                   .n_threads = 2,
                                   .prefill_chunk = 32,
                                   .io = "threads-buffered"};
  options.memory = SizeSpec{.bytes = kGiB};
  const auto engine = engine::Engine::Load(options, {});
  const memory::LedgerSnapshot all = (*engine)->ledger();
  const uint64_t experts = all.of(memory::Account::kExperts).bytes;
  options.memory =
      SizeSpec{.bytes = all.reserved_bytes + all.kept_bytes - experts + experts / 5 + kMiB};
  return options;
}

Result<std::string> Ask(engine::Engine& engine, const char* prompt) {
  auto session = engine.NewSession();
  if (!session) {
    return Forward(session);
  }
  std::string text;
  const auto tokens = engine.tokenizer().Encode(prompt, {.add_bos_eos = true});
  engine::GenerateOptions generate = {.n_predict = 4, .ignore_end = true};
  generate.sampling.temperature = 0;
  const auto stats = (*session)->Generate(tokens, generate, [&](std::string_view part) {
    text += part;
    return true;
  });
  if (!stats) {
    return tl::unexpected(stats.error());
  }
  return text;
}

class ReadFailures : public testing::Test {
 protected:
  ReadFailures() : options_(Options()) {
    TheReads().Fail(0, false);
    const auto engine = engine::Engine::Load(options_, {});
    n_of_load_ = TheReads().n_reads;
    for (const char* prompt : kPrompts) {
      expected_.push_back(Ask(**engine, prompt).value());
    }
    n_reads_ = TheReads().n_reads;
  }
  ~ReadFailures() override { TheReads().Fail(0, false); }

  // Load, three requests, unload; how often somebody was told. The disk is sound again when
  // somebody was.
  uint64_t ErrorsOfALife(uint64_t n, bool lasting) {
    uint64_t n_errors = 0;
    const auto on_error = [&](const Error& error) {
      ++n_errors;
      ExpectNamesTheModel(error);
      TheReads().Fail(0, false);
    };
    TheReads().Fail(n, lasting);
    auto engine = engine::Engine::Load(options_, {});
    if (!engine) {
      on_error(engine.error());
      engine = engine::Engine::Load(options_, {});
    }
    EXPECT_TRUE(engine) << engine.error().message;
    for (size_t i = 0; i < kPrompts.size(); ++i) {
      auto text = Ask(**engine, kPrompts[i]);
      if (!text) {
        on_error(text.error());
        text = Ask(**engine, kPrompts[i]);
      }
      EXPECT_EQ(text.value_or(""), expected_[i]) << "read " << n;
    }
    return n_errors;
  }

  engine::EngineOptions options_;
  uint64_t n_of_load_ = 0;
  uint64_t n_reads_ = 0;
  std::vector<std::string> expected_;
};

TEST_F(ReadFailures, ShortAndInterruptedOnesChangeNothing) {
  for (uint64_t seed = 1; seed <= (IsNight() ? 300U : 4U); ++seed) {
    TheReads().Disturb(seed, 0.01 * std::pow(50, UniformAt(seed, 0)));
    const auto engine = engine::Engine::Load(options_, {});
    ASSERT_TRUE(engine) << engine.error().message;
    for (size_t i = 0; i < kPrompts.size(); ++i) {
      EXPECT_EQ(Ask(**engine, kPrompts[i]).value_or(""), expected_[i]) << "seed " << seed;
    }
  }
}

TEST_F(ReadFailures, OneThatPassesIsOvercome) {
  ASSERT_GT(n_of_load_, 50U);
  ASSERT_GT(n_reads_, n_of_load_ + 100);
  for (uint64_t n = 1; n <= n_reads_; n += IsNight() ? 1 : n_reads_ / 7) {
    EXPECT_EQ(ErrorsOfALife(n, false), 0U) << "read " << n;
  }
}

// Loading needs every read; of the experts', guesses that nobody comes to use may fail unnoticed.
TEST_F(ReadFailures, OneThatLastsIsToldOnceAndWhatFollowsIsRight) {
  uint64_t n_failed = 0;
  for (uint64_t n = 1; n <= n_reads_; n += IsNight() ? 1 : n_reads_ / 7) {
    const uint64_t n_errors = ErrorsOfALife(n, true);
    n_failed += n_errors;
    EXPECT_LE(n_errors, 1U) << "read " << n;
    EXPECT_TRUE(n_errors == 1 || n > n_of_load_) << "read " << n;
  }
  EXPECT_GT(n_failed, 0U);
  RecordProperty("reads", std::to_string(n_reads_));
  RecordProperty("failed", std::to_string(n_failed));
}

}  // namespace
}  // namespace plimsoll::tests
