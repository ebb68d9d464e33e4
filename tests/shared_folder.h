// Where the large test material lies; tests that want it skip where it is absent.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace plimsoll::tests {

inline std::filesystem::path SharedFolder() {
  const char* folder = std::getenv("PLIMSOLL_SHARED");
  return folder != nullptr ? std::filesystem::path(folder)
                           : std::filesystem::path(PLIMSOLL_SOURCE_DIR) / ".." / "shared";
}

}  // namespace plimsoll::tests
