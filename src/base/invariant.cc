#include "base/invariant.h"

#include <cstdio>
#include <cstdlib>

namespace plimsoll {

void InvariantBroken(std::string_view name, const std::source_location& where) {
  std::fprintf(stderr, "plimsoll: broken invariant: %.*s (%s:%u)\n", static_cast<int>(name.size()),
               name.data(), where.file_name(), static_cast<unsigned>(where.line()));
  std::abort();
}

}  // namespace plimsoll
