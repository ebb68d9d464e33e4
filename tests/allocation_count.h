// Counts every operator new of the process, on all threads, by replacing them: a program that links
// allocation_count.cc. Sanitizers bring operators of their own, so their builds leave it out.
#pragma once

#include <cstdint>

namespace plimsoll {

[[nodiscard]] uint64_t NAllocations();

}  // namespace plimsoll
