#include "engine/process_memory.h"

#include <malloc.h>

#include "base/bytes.h"
#include "io/kernel_files.h"

namespace plimsoll::engine {

ProcessMemory ReadProcessMemory() {
  const auto kib_of = [](const char* key) {
    return io::NumberBehind("/proc/self/status", key) * kKiB;
  };
  const struct mallinfo2 heap = ::mallinfo2();
  return {.resident_bytes = kib_of("VmRSS:"),
          .anonymous_bytes = kib_of("RssAnon:"),
          .heap_bytes = heap.arena + heap.hblkhd,
          .page_table_bytes = kib_of("VmPTE:")};
}

}  // namespace plimsoll::engine
