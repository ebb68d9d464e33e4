#include "engine/process_memory.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "memory/buffer.h"

namespace plimsoll::engine {
namespace {

TEST(ProcessMemory, SaysWhatNoReservationCovers) {
  memory::Ledger ledger(kGiB);
  const ProcessMemory before = ReadProcessMemory();
  EXPECT_GT(before.resident_bytes, before.anonymous_bytes);
  EXPECT_GT(before.page_table_bytes, 0U);

  // Reserved, and not there yet.
  const auto buffer = memory::Buffer::Allocate(ledger, memory::Account::kKv, 32 * kMiB, "a test");
  ASSERT_TRUE(buffer);
  const ProcessMemory reserved = ReadProcessMemory();
  EXPECT_LT(reserved.beside_ledger_bytes(ledger.Snapshot()),
            before.beside_ledger_bytes({}) - static_cast<int64_t>(24 * kMiB));
  std::fill(buffer->span().begin(), buffer->span().end(), std::byte{1});
  const ProcessMemory written = ReadProcessMemory();
  EXPECT_GE(written.anonymous_bytes, reserved.anonymous_bytes + 24 * kMiB);

  if (before.heap_bytes == 0) {
    GTEST_SKIP() << "the allocator of this build does not count";
  }
  // Less what the tests before have left and is given back by now.
  const std::vector<std::byte> block(16 * kMiB);
  EXPECT_GE(ReadProcessMemory().heap_bytes + kMiB, before.heap_bytes + block.size());
}

}  // namespace
}  // namespace plimsoll::engine
