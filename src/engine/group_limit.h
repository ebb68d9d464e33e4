// What a control group leaves room for.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "io/machine.h"

namespace plimsoll::engine {

// kDoesNotFit, with the numbers, for a line above what the control groups let the process have: it
// would be killed on the way there.
[[nodiscard]] Result<> CheckGroupAllows(uint64_t line,
                                        const io::MemoryFacts& facts = io::ReadMemoryFacts());

}  // namespace plimsoll::engine
