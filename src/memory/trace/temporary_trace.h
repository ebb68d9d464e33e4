// A place for a trace that is read by the process that records it.
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace plimsoll::memory::trace {

// Removes the file, if there is one, when it goes.
class TemporaryTrace {
 public:
  // In the folder for temporary files; `owner` is part of the name. kIo when there is no folder.
  [[nodiscard]] static Result<TemporaryTrace> Create(std::string_view owner);
  TemporaryTrace(const TemporaryTrace&) = delete;
  TemporaryTrace(TemporaryTrace&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  TemporaryTrace& operator=(const TemporaryTrace&) = delete;
  TemporaryTrace& operator=(TemporaryTrace&&) = delete;
  ~TemporaryTrace();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryTrace(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;  // empty: moved from
};

}  // namespace plimsoll::memory::trace
