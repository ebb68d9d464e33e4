// What a thread has computed for, however busy the machine is with others.
#pragma once

#include <time.h>

namespace plimsoll {

// CPU time of the calling thread since it began.
[[nodiscard]] inline double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace plimsoll
