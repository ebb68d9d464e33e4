// What one rendering may use.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/stop.h"
#include "text/jinja/value.h"

namespace plimsoll::text::jinja {

struct Limits {
  uint64_t steps = 0;
  uint64_t time_ms = 0;
  uint64_t output_bytes = 0;  // of the prompt, and of any string on the way
  uint64_t memory_bytes = 0;  // of all values alive at one moment
  uint32_t call_depth = 0;    // of macro calls
  uint32_t eval_depth = 0;    // of blocks and expressions under evaluation
};

// Every method throws Stop, naming the limit, once one is passed. Work that grows with a size takes
// steps in proportion, so that the clock is looked at often enough.
class Budget {
 public:
  explicit Budget(const Limits& limits);

  void Step(uint64_t steps = 1) {
    steps_ += steps;
    if (steps_ >= next_check_) Check();
  }
  // Before work over that many bytes or so many values.
  void Work(uint64_t bytes) { Step(1 + bytes / 32); }

  // Before a string of so many bytes is made.
  void CheckString(uint64_t bytes) {
    if (bytes > limits_.output_bytes) StopAtOutput();
    Work(bytes);
    CheckMemory(bytes);
  }
  // Before a list of so many items is made.
  void CheckList(uint64_t items) {
    Work(items * sizeof(Value));
    CheckMemory(items * sizeof(Value));
  }

  [[nodiscard]] Value String(std::string text);
  [[nodiscard]] Value List(std::vector<Value> items, bool tuple = false);
  [[nodiscard]] Value Dictionary(std::vector<Member> members);

  [[nodiscard]] MemoryMeter& meter() { return meter_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  void Check();
  void CheckMemory(uint64_t bytes) const {
    if (meter_.live_bytes + bytes > limits_.memory_bytes) StopAtMemory();
  }
  [[noreturn]] void StopAtOutput() const;
  [[noreturn]] void StopAtMemory() const;

  Limits limits_;
  MemoryMeter meter_;
  uint64_t steps_ = 0;
  uint64_t next_check_ = 0;
  std::chrono::steady_clock::time_point deadline_;
};

// Levels of containers that a template can build.
inline constexpr uint32_t kMaxValueDepth = 1024;

// A growing text that is charged to the budget.
class Buffer {
 public:
  explicit Buffer(Budget& budget) : budget_(budget) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Release(); }

  void Append(std::string_view text) {
    budget_.CheckString(text_.size() + text.size() > budget_.limits().output_bytes
                            ? text_.size() + text.size()
                            : text.size());
    text_.append(text);
    budget_.meter().live_bytes += text.size();
  }
  void Append(char c) { Append(std::string_view(&c, 1)); }
  void Fill(size_t count, char c) {
    budget_.CheckString(count);
    Append(std::string(count, c));
  }
  [[nodiscard]] size_t size() const { return text_.size(); }
  [[nodiscard]] std::string Take() {
    Release();
    return std::exchange(text_, {});
  }
  [[nodiscard]] Value TakeValue() { return budget_.String(Take()); }
  [[nodiscard]] Budget& budget() { return budget_; }

 private:
  void Release() { budget_.meter().live_bytes -= text_.size(); }

  Budget& budget_;
  std::string text_;
};

}  // namespace plimsoll::text::jinja
