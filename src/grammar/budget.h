// The processor time that a compiler may spend on a grammar that a client sent.
#pragma once

#include <cstdint>

#include "base/thread_time.h"
#include "grammar/grammar.h"

namespace plimsoll::grammar {

// Counts the time of the thread that made it; cheap enough to be asked at every step. Once spent,
// it stays spent.
class Budget {
 public:
  // A fifth is kept for giving back what was made.
  explicit Budget(const GrammarLimits& limits)
      : end_(ThreadSeconds() + 0.8 * limits.max_cpu_seconds) {}

  [[nodiscard]] bool IsSpent() {
    if (!is_spent_ && ++n_asked_ % kStepsBetweenLooks == 0) {
      is_spent_ = ThreadSeconds() > end_;
    }
    return is_spent_;
  }

 private:
  static constexpr uint32_t kStepsBetweenLooks = 16;

  double end_;
  uint32_t n_asked_ = 0;
  bool is_spent_ = false;
};

}  // namespace plimsoll::grammar
