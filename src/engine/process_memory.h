// What the process has in memory, to hold against what its ledger says.
#pragma once

#include <cstdint>

#include "memory/ledger.h"

namespace plimsoll::engine {

struct ProcessMemory {
  uint64_t resident_bytes = 0;   // pages of files included
  uint64_t anonymous_bytes = 0;  // of these, of no file
  // The two that no one reserves; both are part of the 64 MiB by which a process may pass its line.
  uint64_t heap_bytes = 0;        // of the allocator, its slack included
  uint64_t page_table_bytes = 0;  // of the kernel, for this process; not resident

  // How far anonymous memory is above what is reserved; negative while reserved memory has not been
  // written to yet.
  [[nodiscard]] int64_t beside_ledger_bytes(const memory::LedgerSnapshot& ledger) const {
    return static_cast<int64_t>(anonymous_bytes) - static_cast<int64_t>(ledger.reserved_bytes);
  }
};

// Takes some tens of microseconds: not for every token.
[[nodiscard]] ProcessMemory ReadProcessMemory();

}  // namespace plimsoll::engine
