// Systems that refuse what reads go best with: the ring, its use, registered buffers, direct I/O.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/read_test_support.h"
#include "io/reader.h"
#include "io/uring_backend.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;

TEST(RegisteredBuffers, HoldWhatIsRead) {
  auto reader = MakeReader({}, {});
  ASSERT_TRUE(reader);
  const path file_path =
      path(testing::TempDir()) / ("plimsoll_registered_" + std::to_string(::getpid()));
  WriteTestFile(file_path, 1'000'003);
  auto file = (*reader)->AddFile(*File::Open(file_path));
  ASSERT_TRUE(file);
  constexpr uint64_t kChunk = 2 << 20;
  const Frame memory = MakeFrame(2 * kChunk);
  for (int round = 0; round < 3; ++round) {  // given back and taken again
    const auto buffer = (*reader)->RegisterBuffer({memory.get(), kChunk});
    const auto other = (*reader)->RegisterBuffer({memory.get() + kChunk, kChunk});
    if (!buffer || !other) {
      GTEST_SKIP() << "no memory may be registered here (" << (*reader)->backend_name() << ")";
    }
    for (uint64_t i = 0; i < 2; ++i) {
      ReadRequest request{.file = *file,
                          .offset = 12'345 + i,
                          .bytes = 700'000,
                          .frame = {memory.get() + i * kChunk + 4096, kChunk - 4096},
                          .buffer = i == 0 ? *buffer : *other};
      ASSERT_TRUE((*reader)->Submit(request));
      ReadCompletion completion;
      ASSERT_EQ((*reader)->Wait({&completion, 1}, kPatience), 1U);
      ASSERT_EQ(completion.outcome, ReadOutcome::kDone);
      EXPECT_TRUE(HoldsTestBytes(**reader, request));
    }
    (*reader)->UnregisterBuffer(*buffer);
    (*reader)->UnregisterBuffer(*other);
  }
  std::filesystem::remove(file_path);
}

// Without CAP_IPC_LOCK and with a small RLIMIT_MEMLOCK, in a thread of its own: capabilities are a
// thread's.
TEST(RegisteredBuffers, PastTheLimitReadsGoOnWithoutThem) {
  std::thread([] {
    __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> capabilities = {};
    ASSERT_EQ(::syscall(SYS_capget, &header, capabilities.data()), 0);
    capabilities[0].effective &= ~(1U << CAP_IPC_LOCK);
    ASSERT_EQ(::syscall(SYS_capset, &header, capabilities.data()), 0);
    rlimit before = {};
    ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &before), 0);
    rlimit small = before;
    small.rlim_cur = 1 << 20;
    ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &small), 0);
    constexpr uint64_t kBytes = 8 << 20;
    const Frame memory = MakeFrame(kBytes);
    auto reader = MakeReader({}, {});
    ASSERT_TRUE(reader);
    EXPECT_FALSE((*reader)->RegisterBuffer({memory.get(), kBytes}));
    auto file = (*reader)->AddFile(*File::Placeholder("zeros", kBytes));
    ASSERT_TRUE(file);
    std::fill_n(memory.get(), kBytes, std::byte{1});
    ASSERT_TRUE(
        (*reader)->Submit({.file = *file, .bytes = kBytes, .frame = {memory.get(), kBytes}}));
    ReadCompletion completion;
    ASSERT_EQ((*reader)->Wait({&completion, 1}, kPatience), 1U);
    EXPECT_EQ(completion.outcome, ReadOutcome::kDone);
    EXPECT_EQ(memory.get()[kBytes - 1], std::byte{0});
    EXPECT_EQ(::setrlimit(RLIMIT_MEMLOCK, &before), 0);
  }).join();
}

TEST(RefusedDirectIo, AnAnonymousFileIsReadAllTheSame) {
  std::vector<std::byte> bytes(100'000);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = ByteAt(i);
  }
  for (const BackendKind kind : {BackendKind::kBest, BackendKind::kThreads}) {
    auto reader = MakeReader({.kind = kind}, {});
    ASSERT_TRUE(reader);
    auto file = (*reader)->AddFile(*File::FromBytes("made up", bytes));
    ASSERT_TRUE(file);
    const Frame frame = MakeFrame(128 * 1024);
    const ReadRequest request{
        .file = *file, .offset = 777, .bytes = 99'000, .frame = {frame.get(), 128 * 1024}};
    ASSERT_TRUE((*reader)->Submit(request));
    ReadCompletion completion;
    ASSERT_EQ((*reader)->Wait({&completion, 1}, kPatience), 1U);
    EXPECT_EQ(completion.outcome, ReadOutcome::kDone);
    EXPECT_TRUE(HoldsTestBytes(**reader, request));
  }
}

// For the calling thread and those that it starts: the system call fails with this error.
bool Forbid(uint32_t system_call, uint32_t error_number) {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error_number),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter = {.len = program.size(), .filter = program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Also where a ring may be made and not used.
TEST(RefusedRing, APoolOfThreadsTakesItsPlace) {
  for (const int system_call : {SYS_io_uring_setup, SYS_io_uring_enter}) {
    for (const int error_number : {EPERM, ENOSYS}) {
      std::thread([=] {
        if (!Forbid(static_cast<uint32_t>(system_call), static_cast<uint32_t>(error_number))) {
          GTEST_SKIP() << "no seccomp here";
        }
        EXPECT_FALSE(ProbeUring());
        EXPECT_FALSE(MakeReader({.kind = BackendKind::kUring}, {}));
        auto reader = MakeReader({}, {});
        ASSERT_TRUE(reader);
        EXPECT_EQ((*reader)->backend_name(), "threads");
      }).join();
    }
  }
}

TEST(BackendNamed, KnowsTheFallbacksAndSaysWhichThereAre) {
  EXPECT_EQ(BackendNamed("best")->kind, BackendKind::kBest);
  EXPECT_EQ(BackendNamed("threads")->kind, BackendKind::kThreads);
  EXPECT_TRUE(BackendNamed("threads")->direct);
  EXPECT_FALSE(BackendNamed("threads-buffered")->direct);
  EXPECT_FALSE(BackendNamed("buffered")->direct);
  const auto unknown = BackendNamed("mmap");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);
  EXPECT_NE(unknown.error().message.find("io_uring, threads"), std::string::npos);
}

TEST(RefusedRing, AReadBegunByAThreadThatEndsIsStillRead) {
  auto reader = MakeReader({}, {});
  ASSERT_TRUE(reader);
  auto file = (*reader)->AddFile(*File::Placeholder("zeros", 64 << 20));
  ASSERT_TRUE(file);
  const Frame frame = MakeFrame(64 << 20);
  std::thread([&] {
    EXPECT_TRUE(
        (*reader)->Submit({.file = *file, .bytes = 64 << 20, .frame = {frame.get(), 64 << 20}}));
    (*reader)->Issue();
  }).join();
  ReadCompletion completion;
  ASSERT_EQ((*reader)->Wait({&completion, 1}, kPatience), 1U);
  EXPECT_EQ(completion.outcome, ReadOutcome::kDone);
}

}  // namespace
}  // namespace plimsoll::io
