#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(Progress, OnATerminalTheBarIsRedrawnTenTimesASecond) {
  Progress progress("m.gguf", true);
  EXPECT_EQ(progress.Clear(), "");
  EXPECT_THAT(progress.Update(0, 2048, 100), HasSubstr("[........................]   0 %"));
  EXPECT_EQ(progress.Update(512, 2048, 100.05), "");
  EXPECT_THAT(progress.Update(1024, 2048, 101), HasSubstr("[############............]  50 %"));
  EXPECT_THAT(progress.Update(2048, 2048, 101.01), HasSubstr("100 %"));
  EXPECT_EQ(progress.Clear(), "\r\x1b[K");
}

TEST(Progress, ElsewhereOneLineEveryTenSeconds) {
  Progress progress("m.gguf", false);
  EXPECT_EQ(progress.Update(0, 4096, 100), "");
  EXPECT_EQ(progress.Update(1024, 4096, 109), "");
  EXPECT_EQ(progress.Update(1024, 4096, 110),
            "loading m.gguf:  25 %  1.00 KiB of 4.00 KiB, 102 B/s; 30 s left\n");
  EXPECT_EQ(progress.Update(2048, 4096, 111), "");
  EXPECT_EQ(progress.Clear(), "");
}

TEST(Progress, SaysTheTimeLeftAndWhatIsDone) {
  Progress progress("m.gguf", true, "packing");
  (void)progress.Update(0, 1000, 0);
  EXPECT_THAT(progress.Update(500, 1000, 0.5), Not(HasSubstr("left")));
  EXPECT_THAT(progress.Update(750, 1000, 9),
              AllOf(HasSubstr("packing m.gguf ["), HasSubstr("/s; 3 s left")));
  EXPECT_THAT(progress.Update(800, 1000, 2400), HasSubstr("/s; 10 min left"));
  EXPECT_THAT(progress.Update(1000, 1000, 3000), Not(HasSubstr("left")));
}

TEST(Progress, AShortLoadLeavesNoTraceInALog) {
  Progress progress("m.gguf", false);
  EXPECT_EQ(progress.Update(0, 10, 1), "");
  EXPECT_EQ(progress.Update(10, 10, 2), "");
}

TEST(Progress, AnEmptyFileIsDone) {
  EXPECT_THAT(Progress("m", true).Update(0, 0, 0), HasSubstr("100 %"));
}

}  // namespace
}  // namespace plimsoll::cli
