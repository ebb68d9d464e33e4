#include "engine/memory_yield.h"

#include <algorithm>
#include <utility>

#include "io/machine_limits.h"

namespace plimsoll::engine {
namespace {

constexpr std::chrono::seconds kBetweenLooks(1);

memory::YieldingLine StartAt(const LineTarget& target, SizeSpec floor) {
  const uint64_t top = target.line();
  const uint64_t lowest = std::max(target.line_for(floor), target.least());
  return {top, std::min(top, lowest)};
}

}  // namespace

MemoryYield::MemoryYield(LineTarget target, SizeSpec floor, StalledUsFn stalled_us, uint64_t at_us,
                         Time now)
    : target_(std::move(target)),
      floor_(floor),
      stalled_us_(std::move(stalled_us)),
      line_(StartAt(target_, floor)),
      last_us_(at_us),
      last_look_(now) {}

Result<MemoryYield> MemoryYield::Create(LineTarget target, SizeSpec floor, Time now,
                                        StalledUsFn stalled_us) {
  if (!stalled_us) {
    stalled_us = [] { return io::ReadMemoryStalledUs(); };
  }
  if (target.least() >= target.reserved()) {
    return Fail(ErrorKind::kFailed,
                "--memory-floor has nothing to give back: all of the model stays in memory with a "
                "line of {}\nlower it with --memory to page the experts, or leave it out",
                FormatBytes(target.line()));
  }
  const auto at_us = stalled_us();
  return MemoryYield(std::move(target), floor, at_us ? std::move(stalled_us) : nullptr,
                     at_us.value_or(0), now);
}

// Of the time since the last look.
double MemoryYield::StalledShare(Time now) {
  if (!counts_stalls()) {
    return 0;
  }
  const uint64_t at_us = stalled_us_().value_or(last_us_);
  const std::chrono::duration<double, std::micro> passed = now - last_look_;
  const uint64_t stalled_us = at_us - std::min(at_us, std::exchange(last_us_, at_us));
  return static_cast<double>(stalled_us) / passed.count();
}

Result<std::optional<MemoryYield::Move>> MemoryYield::Tend(Time now) {
  if (now - last_look_ < kBetweenLooks) {
    return std::nullopt;
  }
  Move move = {.from = target_.line(),
               .stalled_share = StalledShare(now),
               .cgroup_line = io::CgroupLine(target_.machine())};
  last_look_ = now;
  const uint64_t wanted =
      line_.At(now.time_since_epoch(), move.stalled_share, move.cgroup_line.value_or(UINT64_MAX));
  move.to = std::max(wanted, target_.least());  // a server's grows with what it has loaded since
  if (move.to == move.from) {
    return std::nullopt;
  }
  if (auto moved = target_.set_line(move.to); !moved) {
    Restart();  // from where it is: the same again would be refused again
    return Forward(moved);
  }
  return move;
}

void MemoryYield::Restart() { line_ = StartAt(target_, floor_); }

}  // namespace plimsoll::engine
