#include "engine/hot_set.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModel = "olmoe 123 a model";
constexpr std::string_view kKey = "hot set of 3 layers, 7 experts, olmoe 123 a model";

class HotSetTest : public testing::Test {
 protected:
  HotSetTest()
      : folder_(fs::path(testing::TempDir()) / fmt::format("plimsoll_hot_set_{}", ::getpid())),
        cache_(folder_),
        layout_(std::vector<uint32_t>{4, 0, 3}) {
    fs::remove_all(folder_);
  }
  ~HotSetTest() override { fs::remove_all(folder_); }

  [[nodiscard]] HotSet Some() const {
    return {.n_tokens = 100, .popularity = {1, 0, 0.5, 0.0625, 0.25, 0, 0.75}};
  }
  [[nodiscard]] Result<std::optional<HotSet>> Load() const {
    return LoadHotSet(cache_, kModel, layout_);
  }

  fs::path folder_;
  io::MeasurementCache cache_;
  memory::policy::PageLayout layout_;
};

TEST_F(HotSetTest, ComesBackAsItWasStored) {
  const auto none = Load();
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(*none);
  ASSERT_TRUE(RememberHotSet(cache_, kModel, layout_, Some()));
  const auto back = Load();
  ASSERT_TRUE(back && *back);
  EXPECT_EQ((*back)->n_tokens, 100);
  EXPECT_EQ((*back)->popularity, (std::vector<float>{1, 0, 0.5, 0.0625, 0.25, 0, 0.75}));
}

TEST_F(HotSetTest, IsOfItsModelAlone) {
  ASSERT_TRUE(RememberHotSet(cache_, kModel, layout_, Some()));
  const auto other = LoadHotSet(cache_, "olmoe 124 a model", layout_);
  ASSERT_TRUE(other);
  EXPECT_FALSE(*other);
  const memory::policy::PageLayout wider(std::vector<uint32_t>{4, 0, 4});
  const auto shaped = LoadHotSet(cache_, kModel, wider);
  ASSERT_TRUE(shaped);
  EXPECT_FALSE(*shaped);
}

TEST_F(HotSetTest, EarlierRunsFade) {
  const HotSet earlier = {.n_tokens = 4096, .popularity = {1, 0}};
  const HotSet later = {.n_tokens = kHotSetHalfLife, .popularity = {0, 0.5}};
  const HotSet merged = Merge(earlier, later);
  EXPECT_EQ(merged.n_tokens, 2048 + 4096);
  EXPECT_FLOAT_EQ(merged.popularity[0], 1.0F / 3);
  EXPECT_FLOAT_EQ(merged.popularity[1], 1.0F / 3);
  // However often it is merged, it stands for no more than some half-lives of tokens.
  HotSet all = later;
  for (int i = 0; i < 100; ++i) {
    all = Merge(all, later);
  }
  EXPECT_LE(all.n_tokens, 2 * kHotSetHalfLife);
  EXPECT_FLOAT_EQ(all.popularity[1], 0.5F);
}

TEST_F(HotSetTest, RunsAddUpOnTheDisk) {
  HotSet hot_set = Some();
  ASSERT_TRUE(RememberHotSet(cache_, kModel, layout_, hot_set));
  std::ranges::fill(hot_set.popularity, 0.0F);
  ASSERT_TRUE(RememberHotSet(cache_, kModel, layout_, hot_set));
  const auto back = Load();
  ASSERT_TRUE(back && *back);
  EXPECT_NEAR((*back)->n_tokens, 200, 2);
  EXPECT_NEAR((*back)->popularity[0], 0.5, 0.01);
}

// Every bit of the file turned over, and the file cut short everywhere.
TEST_F(HotSetTest, DamagedFilesAreNamedAndNotUsed) {
  ASSERT_TRUE(RememberHotSet(cache_, kModel, layout_, Some()));
  const fs::path path = cache_.PathOf(kKey);
  std::ifstream in(path, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  ASSERT_FALSE(whole.empty());
  const auto expect_refused = [&](const std::string& bytes, size_t at) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    const auto loaded = Load();
    ASSERT_FALSE(loaded) << at;
    EXPECT_NE(loaded.error().message.find(path.string()), std::string::npos);
  };
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      expect_refused(bytes, at);
    }
    expect_refused(whole.substr(0, at), at);
  }
}

// Whole files whose checksum is right and which say what cannot be.
TEST_F(HotSetTest, PagesThatAreNoneAreNotUsed) {
  const io::Measurement hostile[] = {
      {0, 1, 5},   {0, 0, -1},  {0, 0, 1e30},       {4, 0, 0.5},  {UINT64_MAX, 0, 1},
      {1, 4, 0.5}, {2, 0, 0.5}, {3, UINT64_MAX, 1}, {1, 0, -0.5}, {1, 0, 1.5}};
  for (const io::Measurement& m : hostile) {
    ASSERT_TRUE(cache_.Store(kKey, {{0, 0, 10}, {1, 0, 0.5}, m}));
    EXPECT_FALSE(Load()) << m.row << " " << m.column << " " << m.value;
  }
  // What is there is replaced then.
  ASSERT_TRUE(RememberHotSet(cache_, kModel, layout_, Some()));
  const auto back = Load();
  ASSERT_TRUE(back && *back);
  EXPECT_EQ((*back)->n_tokens, 100);
}

TEST_F(HotSetTest, AFolderThatCannotBeIsNoHarm) {
  fs::create_directories(folder_);
  std::ofstream(folder_ / "file") << "x";
  const io::MeasurementCache nowhere(folder_ / "file" / "below");
  EXPECT_FALSE(RememberHotSet(nowhere, kModel, layout_, Some()));
  const auto none = LoadHotSet(nowhere, kModel, layout_);
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
}

}  // namespace
}  // namespace plimsoll::engine
