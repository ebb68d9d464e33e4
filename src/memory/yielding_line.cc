#include "memory/yielding_line.h"

#include <algorithm>

namespace plimsoll::memory {

uint64_t YieldingLine::At(Duration now, double stalled_share, uint64_t most_bytes) {
  if (bytes() > most_bytes && stage_ < kStages) {
    OnLimit(now, most_bytes);
  } else if (stalled_share >= kShortShare) {
    OnShort(now);
  } else {
    OnQuiet(now, most_bytes);
  }
  return bytes();
}

void YieldingLine::OnLimit(Duration now, uint64_t most_bytes) {
  CountReturn(now);
  while (bytes() > most_bytes && stage_ < kStages) {
    ++stage_;
  }
  last_short_ = now;
  last_move_ = now;
}

void YieldingLine::OnShort(Duration now) {
  last_short_ = now;
  if (stage_ == kStages || now - last_move_ < kBetweenLowerings) {
    return;
  }
  CountReturn(now);
  ++stage_;
  last_move_ = now;
}

void YieldingLine::OnQuiet(Duration now, uint64_t most_bytes) {
  if (now - last_short_ < quiet_) {
    return;
  }
  if (stage_ > 0 && now - last_move_ >= kBetweenRaises && BytesAt(stage_ - 1) <= most_bytes) {
    --stage_;
    last_move_ = now;
    last_raise_ = now;
  } else if (stage_ == 0 && now - last_move_ >= kQuietMax) {
    quiet_ = kQuietMin;
  }
}

// When the line goes down again: did it come back too early?
void YieldingLine::CountReturn(Duration now) {
  if (now - last_raise_ < quiet_) {
    quiet_ = std::min(2 * quiet_, kQuietMax);
    last_raise_ = -2 * kQuietMax;  // counted once
  }
}

}  // namespace plimsoll::memory
