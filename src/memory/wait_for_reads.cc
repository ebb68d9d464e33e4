#include "memory/wait_for_reads.h"

#include <algorithm>

namespace plimsoll::memory {
Result<size_t> WaitForReads(io::Reader& reader, std::span<io::ReadCompletion> completions,
                            std::chrono::nanoseconds bound, std::chrono::nanoseconds& waited) {
  const std::chrono::nanoseconds begin = reader.now();
  size_t n = reader.Wait(completions, std::min<std::chrono::nanoseconds>(bound, io::kReadOverdue));
  if (n == 0) {
    reader.ReportOverdue();
    n = reader.Wait(completions, bound - std::min(bound, reader.now() - begin));
  }
  waited += reader.now() - begin;
  if (n == 0) {
    return Fail(ErrorKind::kIo, "{}",
                io::DescribeOverdue(std::chrono::duration_cast<std::chrono::seconds>(bound)));
  }
  return n;
}

}  // namespace plimsoll::memory
