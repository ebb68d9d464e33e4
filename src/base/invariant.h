// Invariant(condition, "name") stops the process, in every build, when our own code is wrong.
// It never guards input: what a user, a file or a socket can cause is a Result (result.h).
#pragma once

#include <source_location>
#include <string_view>

namespace plimsoll {

[[noreturn]] void InvariantBroken(std::string_view name, const std::source_location& where);

inline void Invariant(bool condition, std::string_view name,
                      const std::source_location& where = std::source_location::current()) {
  if (!condition) [[unlikely]] {
    InvariantBroken(name, where);
  }
}

}  // namespace plimsoll
