#include "memory/yielding_line.h"

#include <algorithm>

namespace plimsoll::memory {

uint64_t YieldingLine::At(Duration now, double stalled_share) {
  if (stalled_share >= kShortShare) {
    OnShort(now);
  } else {
    OnQuiet(now);
  }
  return bytes();
}

void YieldingLine::OnShort(Duration now) {
  last_short_ = now;
  if (stage_ == kStages || now - last_move_ < kBetweenLowerings) {
    return;
  }
  if (now - last_raise_ < quiet_) {  // it came back too early
    quiet_ = std::min(2 * quiet_, kQuietMax);
    last_raise_ = -2 * kQuietMax;  // counted once
  }
  ++stage_;
  last_move_ = now;
}

void YieldingLine::OnQuiet(Duration now) {
  if (now - last_short_ < quiet_) {
    return;
  }
  if (stage_ > 0 && now - last_move_ >= kBetweenRaises) {
    --stage_;
    last_move_ = now;
    last_raise_ = now;
  } else if (stage_ == 0 && now - last_move_ >= kQuietMax) {
    quiet_ = kQuietMin;
  }
}

}  // namespace plimsoll::memory
