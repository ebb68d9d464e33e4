// Where a prefix tree writes down what it does, so that each of its evictions can be checked: lines
// of text, without anything of what the tokens are. docs/prefix-cache.md has the format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/prefix/price.h"
#include "io/append_file.h"

namespace plimsoll::engine::prefix {

// For one thread at a time.
class DecisionLog {
 public:
  virtual ~DecisionLog() = default;
  virtual void Write(std::string_view line) = 0;  // with its line break
  // What was written can be read by others.
  virtual void Flush() {}
};

// Replaces what is at `path`. When the file cannot be written any more, it ends there, whole lines.
class DecisionLogFile final : public DecisionLog {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DecisionLogFile>> Create(
      const std::filesystem::path& path);
  DecisionLogFile(const DecisionLogFile&) = delete;
  DecisionLogFile& operator=(const DecisionLogFile&) = delete;
  ~DecisionLogFile() override { Flush(); }

  void Write(std::string_view line) override;
  void Flush() override;

 private:
  explicit DecisionLogFile(io::AppendFile file) : file_(std::move(file)) {}

  io::AppendFile file_;
  std::string buffer_;
  bool failed_ = false;
};

// The events. A node is named by a serial number that is never used again.
class DecisionWriter {
 public:
  explicit DecisionWriter(DecisionLog* log) : log_(log) {}  // null: nothing is written

  void Begin(const DemandClock& clock, const WaysBack& ways_back);
  // A node came into being, used once; parent 0: a root.
  void Create(uint64_t serial, uint64_t parent, uint64_t time_us);
  // And every node above it. Branches: Demand::Add.
  void UsePath(uint64_t serial, uint64_t time_us, bool branches);
  void UseNode(uint64_t serial, uint64_t time_us);
  void Price(uint64_t time_us);  // all that can go, as of this time
  void Hold(uint64_t serial);
  void LetGo(uint64_t serial);
  void Fill(uint64_t serial, uint32_t n_tokens, uint64_t bytes);
  void Save(uint64_t serial);  // the slower memory has it too
  void Drop(uint64_t serial);  // it had nothing
  void Evict(uint64_t serial);
  void Flush();

 private:
  DecisionLog* log_;
};

}  // namespace plimsoll::engine::prefix
