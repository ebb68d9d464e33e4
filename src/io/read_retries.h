// When a read that did not bring what it should is tried again: one rule for those who wait for it
// (File) and for those who do not (Reader).
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>

namespace plimsoll::io {

// A read error at one place is tried again after kErrorPause, then twice that, and so on: 70 ms in
// all.
inline constexpr uint32_t kErrorRetries = 3;
inline constexpr std::chrono::milliseconds kErrorPause{10};
// Of interruptions and refusals (EINTR, EAGAIN) in a row, without a byte read between them.
inline constexpr uint32_t kInterruptionsMax = 100;

// Before the retry that follows n_errors others.
[[nodiscard]] constexpr std::chrono::milliseconds ErrorPauseAfter(uint32_t n_errors) {
  return kErrorPause * (1 << n_errors);
}

// Nothing is wrong with the disk: try again at once. ECANCELED: the thread that had begun the read
// ended.
[[nodiscard]] constexpr bool IsInterruption(int error_number) {
  return error_number == EINTR || error_number == EAGAIN || error_number == EBUSY ||
         error_number == ECANCELED;
}

}  // namespace plimsoll::io
