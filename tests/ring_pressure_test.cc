// A kernel that now and then does not take what is queued in the ring: it is offered again, and
// everything is read.
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/read_test_support.h"
#include "io/reader.h"

namespace {

// Of the calls of io_uring_submit, drawn by the seed.
struct Refusals {
  uint64_t seed = 0;
  double share = 0;
  uint64_t n_calls = 0;
  uint64_t n_refused = 0;
};

// What the replaced function goes by; it has no other place.
Refusals& TheRefusals() {
  static Refusals refusals;
  return refusals;
}

}  // namespace

// Found before that of the library.
extern "C" int io_uring_submit(io_uring* ring) {
  static const auto real =
      reinterpret_cast<int (*)(io_uring*)>(::dlsym(RTLD_NEXT, "io_uring_submit"));
  Refusals& refusals = TheRefusals();
  const uint64_t call = refusals.n_calls++;
  if (plimsoll::UniformAt(refusals.seed, call) < refusals.share) {
    ++refusals.n_refused;
    return call % 2 == 0 ? -EBUSY : -EAGAIN;
  }
  return real(ring);
}

namespace plimsoll::io {
namespace {

TEST(RingPressure, WhatTheKernelDoesNotTakeIsOfferedAgain) {
  auto reader = MakeReader({.kind = BackendKind::kUring, .depth = 8}, {.segment_bytes = 8192});
  if (!reader) {
    GTEST_SKIP() << reader.error().message;
  }
  constexpr uint64_t kSlice = 20'011;
  constexpr uint64_t kSlices = 50;
  constexpr uint64_t kFrame = 32 << 10;
  const auto path =
      std::filesystem::path(testing::TempDir()) / ("plimsoll_ring_" + std::to_string(::getpid()));
  WriteTestFile(path, kSlice * kSlices);
  const auto file = (*reader)->AddFile(*File::Open(path));
  ASSERT_TRUE(file);
  const Frame frames = MakeFrame(kSlices * kFrame);
  const uint64_t n_seeds = IsNight() ? 500 : 10;
  uint64_t n_refused = 0;
  for (uint64_t seed = 1; seed <= n_seeds; ++seed) {
    n_refused += TheRefusals().n_refused;
    TheRefusals() = {.seed = seed, .share = 0.9 * UniformAt(seed, 0, 1)};
    std::vector<ReadRequest> requests;
    for (uint64_t i = 0; i < kSlices; ++i) {
      requests.push_back({.file = *file,
                          .offset = i * kSlice,
                          .bytes = kSlice,
                          .frame = {frames.get() + i * kFrame, kFrame},
                          .tag = i});
      ASSERT_TRUE((*reader)->Submit(requests.back()));
    }
    while ((*reader)->n_outstanding() > 0) {
      ReadCompletion completion;
      ASSERT_EQ((*reader)->Wait({&completion, 1}, kPatience), 1U) << "seed " << seed;
      ASSERT_EQ(completion.outcome, ReadOutcome::kDone);
      ASSERT_TRUE(HoldsTestBytes(**reader, requests[completion.tag])) << "seed " << seed;
    }
  }
  EXPECT_GT(n_refused, n_seeds);
  TheRefusals() = {};
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace plimsoll::io
