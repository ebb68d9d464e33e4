#include "text/jinja/budget.h"

#include <algorithm>

namespace plimsoll::text::jinja {

namespace {

// Between two looks at the clock: some tens of microseconds.
constexpr uint64_t kStepsPerCheck = 512;

}  // namespace

Budget::Budget(const Limits& limits)
    : limits_(limits),
      next_check_(kStepsPerCheck),
      deadline_(std::chrono::steady_clock::now() + std::chrono::milliseconds(limits.time_ms)) {}

void Budget::Check() {
  if (steps_ > limits_.steps) StopRender("stopped at its limit of {} steps", limits_.steps);
  if (std::chrono::steady_clock::now() > deadline_) {
    StopRender("stopped at its time limit of {} ms", limits_.time_ms);
  }
  next_check_ = std::min(steps_ + kStepsPerCheck, limits_.steps + 1);
}

void Budget::StopAtOutput() const {
  StopRender("stopped at its output limit of {} bytes (4 times the input, and 1 MiB)",
             limits_.output_bytes);
}

void Budget::StopAtMemory() const {
  StopRender("stopped at its memory limit of {} bytes", limits_.memory_bytes);
}

Value Budget::String(std::string text) {
  CheckString(text.size());
  return std::make_shared<const StringNode>(std::move(text), &meter_);
}

Value Budget::List(std::vector<Value> items, bool tuple) {
  CheckList(items.size());
  auto node = std::make_shared<const ListNode>(std::move(items), tuple, &meter_);
  if (node->depth > kMaxValueDepth) {
    StopRender("stopped at its depth limit of {} levels of lists and dicts", kMaxValueDepth);
  }
  return node;
}

Value Budget::Dictionary(std::vector<Member> members) {
  CheckList(2 * members.size());
  auto node = std::make_shared<const Dict>(std::move(members), &meter_);
  if (node->depth() > kMaxValueDepth) {
    StopRender("stopped at its depth limit of {} levels of lists and dicts", kMaxValueDepth);
  }
  return node;
}

}  // namespace plimsoll::text::jinja
