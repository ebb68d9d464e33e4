#include "cli/line_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "cli/answer.h"
#include "cli/fake_engine.h"

namespace plimsoll::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// With limits of so many bytes above what is never for a line.
std::function<io::MemoryFacts()> MachineWith(const std::optional<uint64_t>& room) {
  return [&room] {
    io::MemoryFacts facts = {.total = kGiB, .available = kGiB};
    facts.cgroup_limit = room;
    if (room) {
      *facts.cgroup_limit += io::CgroupReserve(facts);
    }
    return facts;
  };
}

engine::LineTarget TargetOf(engine::Engine& engine, const std::optional<uint64_t>& room) {
  engine::LineTarget target = engine::LineOf(engine);
  target.machine = MachineWith(room);
  return target;
}

struct Keeper {
  std::string Hangup(Result<LineKeeper::Wanted> wanted) {
    hung_up = true;
    said = std::move(wanted);
    return keeper.Tend();
  }

  FakeScript script;
  FakeEngine engine{script};
  bool hung_up = false;
  std::optional<uint64_t> group_room;  // for a line
  Result<LineKeeper::Wanted> said;
  LineKeeper keeper{{.target = TargetOf(engine, group_room),
                     .take_hangup = [this] { return std::exchange(hung_up, false); },
                     .read_again = [this] { return said; }}};
};

TEST(LineKeeper, MovesTheLineOnAHangupAndOnlyThen) {
  Keeper k;
  EXPECT_EQ(k.keeper.Tend(), "");
  EXPECT_EQ(k.Hangup(LineKeeper::Wanted{SizeSpec{.bytes = 2048}, "config.toml:3"}),
            "SIGHUP: the line moved from 1.00 KiB to 2.00 KiB: config.toml:3\n");
  EXPECT_EQ(k.keeper.Tend(), "");
  EXPECT_THAT(k.script.lines, ElementsAre(2048U));
  // Nothing is set any more: what is built in.
  EXPECT_THAT(k.Hangup(LineKeeper::Wanted{{}, "no setting"}), HasSubstr("to 4.00 KiB"));
}

TEST(LineKeeper, SaysOnOneLineWhyItStays) {
  Keeper k;
  EXPECT_EQ(k.Hangup(Fail(ErrorKind::kUsage, "config.toml:1:\nnot TOML")),
            "SIGHUP: the line stays at 1.00 KiB: config.toml:1:; not TOML\n");
  EXPECT_EQ(k.Hangup(LineKeeper::Wanted{SizeSpec{.bytes = 1}, "config.toml:3"}),
            "SIGHUP: the line stays at 1.00 KiB: config.toml:3: 1 is too low\n");
  EXPECT_THAT(k.script.lines, testing::IsEmpty());
}

TEST(LineKeeper, SaysTheControlGroupsLimitWhereALineIsAboveIt) {
  Keeper k;
  k.group_room = 600 * kMiB;
  const auto wants = [](uint64_t mib) {
    return LineKeeper::Wanted{SizeSpec{.bytes = mib * kMiB}, "config.toml:3"};
  };
  EXPECT_THAT(k.Hangup(wants(600)), HasSubstr("to 600 MiB: config.toml:3\n"));
  // The limit is lowered, and so is the line, but less.
  k.group_room = 400 * kMiB;
  EXPECT_THAT(k.Hangup(wants(500)),
              testing::StartsWith("SIGHUP: the line stays at 600 MiB: config.toml:3: a line of 500 "
                                  "MiB is too high: the control group has a limit of 496 MiB"));
  EXPECT_THAT(k.Hangup(wants(400)), HasSubstr("to 400 MiB: config.toml:3\n"));
  // What is built in follows the machine, and is not refused for what others did meanwhile.
  k.group_room = 0;
  EXPECT_THAT(k.Hangup(LineKeeper::Wanted{{}, "no setting"}), HasSubstr("to 4.00 KiB"));
}

// A machine whose processes stand still as long as the line is above a place.
class YieldingKeeper : public testing::Test {
 protected:
  YieldingKeeper() {
    engine_.UseMemory(1024);
    auto yield = engine::MemoryYield::Create(target_, SizeSpec{.bytes = 128}, now_, [this] {
      stalled_us_ += engine_.ledger().budget_bytes > room_ ? uint64_t{500'000} : 0;
      return knows_ ? std::optional(stalled_us_) : std::nullopt;
    });
    EXPECT_TRUE(yield) << yield.error().message;
    keeper_.emplace(
        LineKeeper::Setup{.target = target_,
                          .take_hangup = [this] { return std::exchange(hung_up_, false); },
                          .read_again =
                              [] {
                                return LineKeeper::Wanted{SizeSpec{.bytes = 512}, "c.toml:1"};
                              },
                          .yield = std::move(*yield)});
  }

  std::string Seconds(int n) {
    std::string said;
    for (int i = 0; i < 10 * n; ++i) {
      now_ += std::chrono::milliseconds(100);
      said += keeper_->Tend(now_);
    }
    return said;
  }
  uint64_t line() const { return engine_.ledger().budget_bytes; }

  FakeScript script_;
  FakeEngine engine_{script_};
  std::optional<uint64_t> group_room_;  // for a line
  engine::LineTarget target_ = TargetOf(engine_, group_room_);
  engine::MemoryYield::Time now_ = engine::MemoryYield::Time(std::chrono::hours(1));
  uint64_t room_ = 4096;
  uint64_t stalled_us_ = 0;
  bool knows_ = true;
  bool hung_up_ = false;
  std::optional<LineKeeper> keeper_;
};

TEST_F(YieldingKeeper, GoesDownWhileMemoryIsShortAndComesBack) {
  EXPECT_EQ(Seconds(60), "");
  room_ = 700;
  const std::string said = Seconds(20);
  EXPECT_THAT(said, testing::StartsWith("the line moved from 1.00 KiB to 912 B: memory is short, "
                                        "processes waited for some 50 % of the time\n"));
  EXPECT_EQ(line(), 688U);  // the first stage below the room
  room_ = 4096;
  EXPECT_THAT(Seconds(120), HasSubstr("to 1.00 KiB: there is room again\n"));
  EXPECT_EQ(line(), 1024U);
}

TEST_F(YieldingKeeper, EndsAtTheFloor) {
  room_ = 1;
  (void)Seconds(100);
  EXPECT_EQ(line(), 128U);
}

TEST_F(YieldingKeeper, FollowsTheControlGroupsLimitDownAndUp) {
  group_room_ = 1024;
  EXPECT_EQ(Seconds(10), "");
  group_room_ = 700;
  EXPECT_EQ(Seconds(2),
            "the line moved from 1.00 KiB to 688 B: the control group has room for 700 B\n");
  group_room_ = 1;
  EXPECT_THAT(Seconds(2), HasSubstr("to 128 B: the control group has room for 1 B\n"));
  EXPECT_EQ(Seconds(60), "");
  group_room_.reset();
  EXPECT_THAT(Seconds(200), HasSubstr("to 1.00 KiB: there is room again\n"));
}

TEST_F(YieldingKeeper, FollowsTheLimitAlsoWhereStallsAreNotCounted) {
  knows_ = false;
  auto yield = engine::MemoryYield::Create(target_, SizeSpec{.bytes = 128}, now_,
                                           [] { return std::optional<uint64_t>(); });
  ASSERT_TRUE(yield);
  EXPECT_FALSE(yield->counts_stalls());
  group_room_ = 700;
  now_ += std::chrono::seconds(1);
  const auto move = yield->Tend(now_);
  ASSERT_TRUE(move && *move);
  EXPECT_EQ((*move)->to, 688U);
  EXPECT_TRUE((*move)->is_by_cgroup());
}

TEST_F(YieldingKeeper, TakesALineDrawnAnewForItsTop) {
  hung_up_ = true;
  EXPECT_THAT(Seconds(1), HasSubstr("SIGHUP: the line moved from 1.00 KiB to 512 B"));
  room_ = 500;
  (void)Seconds(10);
  EXPECT_EQ(line(), 512U - (512U - 128U) / 8);
  room_ = 4096;
  (void)Seconds(120);
  EXPECT_EQ(line(), 512U);
}

TEST_F(YieldingKeeper, AMachineThatStopsToSayMovesNothing) {
  knows_ = false;
  EXPECT_EQ(Seconds(5), "");
}

TEST_F(YieldingKeeper, NothingToGiveBackIsToldOf) {
  engine_.UseMemory(64);
  const auto nothing = engine::MemoryYield::Create(engine::LineOf(engine_), SizeSpec{.bytes = 1},
                                                   now_, [] { return std::optional<uint64_t>(1); });
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().message, HasSubstr("nothing to give back"));
}

}  // namespace
}  // namespace plimsoll::cli
