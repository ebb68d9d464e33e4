#include "cli/console.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "cli/line_reader.h"

namespace plimsoll::cli {
namespace {

struct CleanEnvironment {
  CleanEnvironment() {
    for (const char* name : {"NO_COLOR", "CLICOLOR_FORCE", "TERM"}) ::unsetenv(name);
  }
};

TEST(UseColor, OptionThenNoColorThenForceThenTerminal) {
  const CleanEnvironment clean;
  EXPECT_TRUE(UseColor(ColorMode::kAuto, true));
  EXPECT_FALSE(UseColor(ColorMode::kAuto, false));
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(UseColor(ColorMode::kAuto, true));
  ::setenv("CLICOLOR_FORCE", "1", 1);
  EXPECT_TRUE(UseColor(ColorMode::kAuto, false));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(UseColor(ColorMode::kAuto, true));
  EXPECT_TRUE(UseColor(ColorMode::kAlways, false));
  ::setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(UseColor(ColorMode::kAuto, true));
  EXPECT_FALSE(UseColor(ColorMode::kNever, true));
}

TEST(TerminalSafe, LetsTextThroughAndStopsEscapes) {
  EXPECT_EQ(TerminalSafe("a\tb\né日"), "a\tb\né日");
  EXPECT_EQ(TerminalSafe("\x1b[2J\r\x7f"), "\uFFFD[2J\uFFFD\uFFFD");
  EXPECT_EQ(TerminalSafe("\xC2\x9B"), "\uFFFD");
  EXPECT_EQ(TerminalSafe("\xFF!"), "\uFFFD!");
}

TEST(HistoryPath, FollowsTheXdgStandard) {
  ::setenv("HOME", "/home/someone", 1);
  ::setenv("XDG_STATE_HOME", "/state", 1);
  EXPECT_EQ(HistoryPath(), "/state/plimsoll/history");
  ::setenv("XDG_STATE_HOME", "relative", 1);
  EXPECT_EQ(HistoryPath(), "/home/someone/.local/state/plimsoll/history");
  ::unsetenv("XDG_STATE_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(HistoryPath(), std::nullopt);
}

}  // namespace
}  // namespace plimsoll::cli
