// A line that gives way, between tokens, while others on the machine lack memory.
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
  // the machine does not say how memory is, and where all that is there has to stay in memory.
  // `stalled_us` may be empty: then the kernel is asked (PSI).
  [[nodiscard]] static Result<MemoryYield> Create(LineTarget target, SizeSpec floor, Time now,
                                                  StalledUsFn stalled_us);

  struct Move {
    uint64_t from = 0;
    uint64_t to = 0;
    double stalled_share = 0;  // of the time since the last look
  };
  // To be called between tokens; looks no more than once a second. What was done: a move, nothing,
  // or why the target refused.
  [[nodiscard]] Result<std::optional<Move>> Tend(Time now);
  // The line was drawn anew by someone else: that is the top now.
  void Restart();

 private:
  MemoryYield(LineTarget target, SizeSpec floor, StalledUsFn stalled_us, uint64_t at_us, Time now);

  LineTarget target_;
  SizeSpec floor_;
  StalledUsFn stalled_us_;
  memory::YieldingLine line_;
  uint64_t last_us_;
  Time last_look_;
};

}  // namespace plimsoll::engine
