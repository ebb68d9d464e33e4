#include "memory/wait_for_reads.h"

namespace plimsoll::memory {

Result<size_t> WaitForReads(io::Reader& reader, std::span<io::ReadCompletion> completions,
                            std::chrono::nanoseconds bound, std::chrono::nanoseconds& waited) {
  const std::chrono::nanoseconds begin = reader.now();
  const size_t n = reader.Wait(completions, bound);
  waited += reader.now() - begin;
  if (n == 0) {
    return Fail(ErrorKind::kIo, "the disk has not answered for {} seconds",
                std::chrono::duration_cast<std::chrono::seconds>(bound).count());
  }
  return n;
}

}  // namespace plimsoll::memory
