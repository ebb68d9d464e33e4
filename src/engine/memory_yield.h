// A line that gives way, between tokens, while others on the machine lack memory, and to the limit
// of the control group.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "engine/line_target.h"
#include "memory/yielding_line.h"

namespace plimsoll::engine {

class MemoryYield {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // For how long something has stood still for want of memory, in microseconds since some start;
  // nothing where that is not known.
  using StalledUsFn = std::function<std::optional<uint64_t>()>;

  // The line goes down to `floor` at most, or to the lowest that the target takes. kFailed where
  // all that is there has to stay in memory. `stalled_us` may be empty: then the kernel is asked
  // (PSI).
  [[nodiscard]] static Result<MemoryYield> Create(LineTarget target, SizeSpec floor, Time now,
                                                  StalledUsFn stalled_us);

  // Where the kernel does not count stalls, the line gives way to the control group alone.
  [[nodiscard]] bool counts_stalls() const { return stalled_us_ != nullptr; }

  struct Move {
    uint64_t from = 0;
    uint64_t to = 0;
    double stalled_share = 0;             // of the time since the last look
    std::optional<uint64_t> cgroup_line;  // what control groups leave room for
    // Rather than want of others.
    [[nodiscard]] bool is_by_cgroup() const { return cgroup_line && *cgroup_line < from; }
  };
  // To be called between tokens; looks no more than once a second. What was done: a move, nothing,
  // or why the target refused.
  [[nodiscard]] Result<std::optional<Move>> Tend(Time now);
  // The line was drawn anew by someone else: that is the top now.
  void Restart();

 private:
  MemoryYield(LineTarget target, SizeSpec floor, StalledUsFn stalled_us, uint64_t at_us, Time now);
  [[nodiscard]] double StalledShare(Time now);

  LineTarget target_;
  SizeSpec floor_;
  StalledUsFn stalled_us_;  // null: the kernel does not count
  memory::YieldingLine line_;
  uint64_t last_us_;
  Time last_look_;
};

}  // namespace plimsoll::engine
