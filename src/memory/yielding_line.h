// When a line gives way to others on the machine that lack memory, and when it comes back.
//
// A rule without clocks or files: it is told how much stood still and how high the line may be, and
// says where it should be. One stage lower for every report of want, so that a short one costs
// little, but at once as many as a limit wants; back up a stage at a time after a quiet while,
// which grows when coming back brought the want back.
#pragma once

#include <chrono>
#include <cstdint>

namespace plimsoll::memory {

class YieldingLine {
 public:
  using Duration = std::chrono::nanoseconds;

  static constexpr uint32_t kStages = 8;  // from the top to the floor
  // The share of time in which some process stood still for memory, from which on it is short. The
  // kernel's documentation of PSI watches for 15 % of a second in its example.
  static constexpr double kShortShare = 0.1;
  // What was given back takes a while to show.
  static constexpr Duration kBetweenLowerings = std::chrono::seconds(2);
  static constexpr Duration kBetweenRaises = std::chrono::seconds(10);
  static constexpr Duration kQuietMin = std::chrono::seconds(30);
  static constexpr Duration kQuietMax = std::chrono::minutes(16);

  // floor_bytes at most top_bytes.
  YieldingLine(uint64_t top_bytes, uint64_t floor_bytes) : top_(top_bytes), floor_(floor_bytes) {}

  // Where the line should be at a time, which never goes back. stalled_share: of the time since the
  // last call; most_bytes: a limit, which only the floor passes.
  [[nodiscard]] uint64_t At(Duration now, double stalled_share, uint64_t most_bytes = UINT64_MAX);
  [[nodiscard]] uint64_t bytes() const { return BytesAt(stage_); }

 private:
  [[nodiscard]] uint64_t BytesAt(uint32_t stage) const {
    return stage == kStages ? floor_ : top_ - (top_ - floor_) / kStages * stage;
  }
  void OnLimit(Duration now, uint64_t most_bytes);
  void OnShort(Duration now);
  void OnQuiet(Duration now, uint64_t most_bytes);
  void CountReturn(Duration now);

  uint64_t top_;
  uint64_t floor_;
  uint32_t stage_ = 0;  // 0: at the top
  Duration quiet_ = kQuietMin;
  Duration last_short_ = -kQuietMax;
  Duration last_move_ = -kQuietMax;
  Duration last_raise_ = -2 * kQuietMax;
};

}  // namespace plimsoll::memory
