// Counts every operator new of the process, on all threads, by replacing them: a program that links
// allocation_count.cc. Sanitizers bring operators of their own, so their builds leave it out.
#pragma once

#include <cstdint>

namespace plimsoll {

[[nodiscard]] uint64_t NAllocations();
// Of these, what has not been given back.
[[nodiscard]] uint64_t NLiveAllocations();
// The n-th allocation from now on fails, on whatever thread; 0: none does.
void FailAllocation(uint64_t n);

}  // namespace plimsoll
