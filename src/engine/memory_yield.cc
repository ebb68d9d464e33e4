#include "engine/memory_yield.h"

#include <algorithm>
#include <utility>

#include "io/machine_limits.h"

namespace plimsoll::engine {
namespace {

constexpr std::chrono::seconds kBetweenLooks(1);

memory::YieldingLine LineOf(const Engine& engine, SizeSpec floor) {
  const uint64_t top = engine.ledger().budget_bytes;
  const uint64_t lowest = std::max(engine.LineFor(floor), engine.LeastLine());
  return {top, std::min(top, lowest)};
}

}  // namespace

MemoryYield::MemoryYield(Engine& engine, SizeSpec floor, StalledUsFn stalled_us, uint64_t at_us,
                         Time now)
    : engine_(&engine),
      floor_(floor),
      stalled_us_(std::move(stalled_us)),
      line_(LineOf(engine, floor)),
      last_us_(at_us),
      last_look_(now) {}

Result<MemoryYield> MemoryYield::Create(Engine& engine, SizeSpec floor, Time now,
                                        StalledUsFn stalled_us) {
  if (!stalled_us) {
    stalled_us = [] { return io::ReadMemoryStalledUs(); };
  }
  const auto at_us = stalled_us();
  if (!at_us) {
    return Fail(ErrorKind::kFailed,
                "--memory-floor needs the kernel to count stalls for memory, and this one does "
                "not: /proc/pressure/memory cannot be read\nboot with psi=1, or leave it out");
  }
  if (engine.LeastLine() >= engine.ledger().reserved_bytes) {
    return Fail(ErrorKind::kFailed,
                "--memory-floor has nothing to give back: all of the model stays in memory with a "
                "line of {}\nlower it with --memory to page the experts, or leave it out",
                FormatBytes(engine.ledger().budget_bytes));
  }
  return MemoryYield(engine, floor, std::move(stalled_us), *at_us, now);
}

Result<std::optional<MemoryYield::Move>> MemoryYield::Tend(Time now) {
  if (now - last_look_ < kBetweenLooks) {
    return std::nullopt;
  }
  const uint64_t at_us = stalled_us_().value_or(last_us_);
  const std::chrono::duration<double, std::micro> passed = now - last_look_;
  Move move;
  move.stalled_share = static_cast<double>(at_us - std::min(at_us, last_us_)) / passed.count();
  last_us_ = at_us;
  last_look_ = now;
  move.from = engine_->ledger().budget_bytes;
  move.to = line_.At(now.time_since_epoch(), move.stalled_share);
  if (move.to == move.from) {
    return std::nullopt;
  }
  if (auto moved = engine_->SetLine(move.to); !moved) {
    Restart();  // from where it is: the same again would be refused again
    return Forward(moved);
  }
  return move;
}

void MemoryYield::Restart() { line_ = LineOf(*engine_, floor_); }

}  // namespace plimsoll::engine
