#include "io/disk_speed.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "io/measurement_cache.h"
#include "io/read_test_support.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;
using namespace std::chrono_literals;

class DiskSpeedTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = path(testing::TempDir()) / ("plimsoll_speed_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("XDG_CACHE_HOME");
    std::filesystem::remove_all(folder_);
  }

  // The one file in the cache.
  path CacheFile() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cache/plimsoll")) {
      return entry.path();
    }
    return {};
  }
  static std::string Contents(const path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  path folder_;
};

TEST_F(DiskSpeedTest, LiesBetweenWhatWasMeasured) {
  const DiskSpeed speed = {.cells = {{1 << 16, 1, 100}, {1 << 16, 16, 300}, {1 << 20, 1, 500}},
                           .sustained = 400};
  EXPECT_EQ(speed.BytesPerSecond(1 << 16, 1), 100);
  EXPECT_EQ(speed.BytesPerSecond(1, 1), 100);
  EXPECT_EQ(speed.BytesPerSecond(1 << 16, 4), 200);
  EXPECT_EQ(speed.BytesPerSecond(1 << 16, 99), 300);
  EXPECT_EQ(speed.BytesPerSecond(1 << 18, 1), 300);
  EXPECT_EQ(speed.BytesPerSecond(1 << 30, 7), 400) << "no more than lasts";
  EXPECT_EQ(speed.Peak(), 500);
  EXPECT_EQ(DiskSpeed().BytesPerSecond(1, 1), 0);
}

TEST_F(DiskSpeedTest, RisesToWhatTheDeviceGave) {
  DiskSpeed speed;
  speed.cells = {{4096, 1, 1e8}, {1 << 20, 16, 2e9}};
  speed.RaiseTo(1e9, 4096, 1);  // nothing was measured: nothing to raise
  EXPECT_EQ(speed.sustained, 0);
  speed.sustained = 1e9;
  speed.RaiseTo(9e7, 4096, 1);
  speed.RaiseTo(1e9, 1 << 20, 16);
  EXPECT_EQ(speed.cells[1].bytes_per_second, 2e9) << "that is known to last";
  speed.RaiseTo(1.5e9, 1 << 20, 16);
  EXPECT_EQ(speed.sustained, 1.5e9);
  EXPECT_DOUBLE_EQ(speed.cells[0].bytes_per_second, 1.5e8);
  EXPECT_DOUBLE_EQ(speed.cells[1].bytes_per_second, 3e9);
  // Small pages came faster than it was known to give them: it can.
  speed.RaiseTo(3e8, 4096, 1);
  EXPECT_DOUBLE_EQ(speed.BytesPerSecond(4096, 1), 3e8);
  EXPECT_EQ(speed.sustained, 1.5e9);
}

TEST_F(DiskSpeedTest, IsMeasuredOnceAndRemembered) {
  const path file_path = folder_ / "file";
  WriteTestFile(file_path, 3'000'000);
  const auto file = *File::Open(file_path);
  const DiskSpeedOptions options = {.page_bytes = {64 << 10, 1 << 20},
                                    .depths = {1, 8},
                                    .time_a_cell = 5ms,
                                    .time_sustained = 10ms,
                                    .memory_bytes = 1 << 20};
  const auto speed = CachedDiskSpeed(file, options);
  ASSERT_TRUE(speed) << speed.error().message;
  ASSERT_EQ(speed->cells.size(), 3U) << "8 pages of 1 MiB pass the memory";
  for (const DiskSpeed::Cell& cell : speed->cells) {
    EXPECT_GT(cell.bytes_per_second, 1e4);
    EXPECT_LT(cell.bytes_per_second, 1e12);
  }
  EXPECT_GE(speed->cells[1].bytes_per_second, speed->cells[0].bytes_per_second);
  EXPECT_GE(speed->cells[2].bytes_per_second, speed->cells[0].bytes_per_second);
  EXPECT_GT(speed->sustained, 1e4);
  const auto again = CachedDiskSpeed(file, options);
  ASSERT_TRUE(again);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(again->cells[i].bytes_per_second, speed->cells[i].bytes_per_second);
  }
  EXPECT_EQ(again->sustained, speed->sustained);
  EXPECT_EQ(again->direct, speed->direct);
  // What is in the cache is what counts; without it all is measured anew.
  std::filesystem::remove_all(folder_ / "cache");
  const auto anew = CachedDiskSpeed(file, options);
  ASSERT_TRUE(anew);
  EXPECT_NE(anew->sustained, speed->sustained);
}

TEST_F(DiskSpeedTest, AFolderIsMeasuredOnAFileThatGoesAway) {
  const path folder = folder_ / "models";
  const DiskSpeedOptions options = {.page_bytes = {64 << 10},
                                    .depths = {4},
                                    .time_a_cell = 5ms,
                                    .time_sustained = 5ms,
                                    .memory_bytes = 1 << 20,
                                    .scratch_bytes = 2 << 20};
  const auto speed = CachedFolderSpeed(folder, options);
  ASSERT_TRUE(speed) << speed.error().message;
  EXPECT_GT(speed->sustained, 1e4);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  EXPECT_EQ(CachedFolderSpeed(folder, options)->sustained, speed->sustained);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::ofstream(folder_ / "file") << "in the way";
  EXPECT_EQ(CachedFolderSpeed(folder_ / "file/below", options).error().kind, ErrorKind::kIo);
}

TEST_F(DiskSpeedTest, AFileWithoutAPageSaysSo) {
  WriteTestFile(folder_ / "file", 100);
  EXPECT_FALSE(MeasureDisk(*File::Open(folder_ / "file"), {}));
}

TEST_F(DiskSpeedTest, TheCacheGivesBackWhatItWasGivenForAWhile) {
  const MeasurementCache cache = MeasurementCache::OfUser();
  EXPECT_EQ(cache.folder(), folder_ / "cache/plimsoll");
  const std::vector<Measurement> table = {{1, 2, 3.25}, {4, 5, 1.0 / 3}};
  EXPECT_FALSE(cache.Load("key", 1h));
  ASSERT_TRUE(cache.Store("key", table));
  EXPECT_EQ(cache.Load("key", 1h), table);
  EXPECT_FALSE(cache.Load("other", 1h));
  EXPECT_FALSE(cache.Load("key", -1s)) << "too old";
  ASSERT_TRUE(cache.Store("key", {}));
  EXPECT_EQ(cache.Load("key", 1h), std::vector<Measurement>());
}

TEST_F(DiskSpeedTest, ADamagedCacheIsNoCache) {
  const MeasurementCache cache = MeasurementCache::OfUser();
  ASSERT_TRUE(cache.Store("key", {{1, 2, 3}}));
  const path file = CacheFile();
  const std::string whole = Contents(file);
  for (size_t n = 0; n < whole.size(); ++n) {
    std::ofstream(file) << whole.substr(0, n);
    ASSERT_FALSE(cache.Load("key", 1h)) << "cut at byte " << n;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string altered = whole;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    std::ofstream(file) << altered;
    ASSERT_FALSE(cache.Load("key", 1h)) << "altered at byte " << i;
  }
  std::ofstream(file) << std::string(1 << 20, 'x');
  EXPECT_FALSE(cache.Load("key", 1h));
  ASSERT_TRUE(cache.Store("key", {{1, 2, 3}}));
  EXPECT_TRUE(cache.Load("key", 1h)) << "a good one takes its place";
}

TEST_F(DiskSpeedTest, WithoutAFolderNothingIsKeptAndNothingFails) {
  const MeasurementCache none{path()};
  EXPECT_TRUE(none.Store("key", {{1, 2, 3}}));
  EXPECT_FALSE(none.Load("key", 1h));
  std::ofstream(folder_ / "file") << "in the way";
  EXPECT_FALSE(MeasurementCache(folder_ / "file/below").Store("key", {}));
}

}  // namespace
}  // namespace plimsoll::io
