// Tables of what was measured on this machine, kept from one run to the next.
//
// One small text file each in $XDG_CACHE_HOME/plimsoll (or ~/.cache/plimsoll), written whole or not
// at all, with a version and a checksum. A file that is missing, old, of another version, cut short
// or altered counts as not measured; failing to write one is no error. Deleting them is always
// safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::io {

struct Measurement {
  uint64_t row = 0;
  uint64_t column = 0;
  double value = 0;

  friend bool operator==(const Measurement&, const Measurement&) = default;
};

class MeasurementCache {
 public:
  // The folder above; a cache that keeps nothing where the environment names none.
  [[nodiscard]] static MeasurementCache OfUser();
  explicit MeasurementCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // What was stored under the key, if that was less than `age` ago.
  [[nodiscard]] std::optional<std::vector<Measurement>> Load(std::string_view key,
                                                             std::chrono::seconds age) const;
  // The same, but what lies in its place and was not written here, or not whole, is an error
  // (kBadModel, which names the file).
  [[nodiscard]] Result<std::optional<std::vector<Measurement>>> Read(
      std::string_view key, std::chrono::seconds age) const;
  // kIo when it cannot be written.
  Result<> Store(std::string_view key, const std::vector<Measurement>& measurements) const;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path PathOf(std::string_view key) const;

 private:
  std::filesystem::path folder_;  // empty: nothing is kept
};

// A machine's name for keys: its id and its processor, so that a home folder shared by several
// machines serves each of them.
[[nodiscard]] std::string MachineKey(const std::filesystem::path& root = "/");

}  // namespace plimsoll::io
