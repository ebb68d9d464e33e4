// What the splitters of all families have in common.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/output/call_region.h"
#include "server/api/output/held_text.h"
#include "server/api/output/output_splitter.h"

namespace plimsoll::server::api::output {

// A state machine over the text that is held: each step takes something off its front and tells
// what it was, or finds that more text is needed.
class OutputSplitter::Splitter {
 public:
  explicit Splitter(SplitterOptions options);
  virtual ~Splitter() = default;

  [[nodiscard]] HeldText& held() { return held_; }
  // All steps that there are; `at_end`: no more text comes.
  [[nodiscard]] std::vector<Event> Run(bool at_end);
  [[nodiscard]] uint32_t n_calls() const { return n_calls_; }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] virtual bool in_reasoning() const = 0;

 protected:
  // One step; false when more text is needed.
  virtual bool Step(bool at_end) = 0;

  [[nodiscard]] const SplitterOptions& options() const { return options_; }
  [[nodiscard]] std::string_view text() const { return held_.text(); }

  // Each takes the first n bytes.
  void Content(size_t n);
  void Reasoning(size_t n);
  void Drop(size_t n) { (void)held_.Take(n); }
  // As a further part of the open call's arguments.
  void BrokenArguments(size_t n);

  // Tells of a region's calls what was not told yet.
  void TellCalls(const std::vector<RegionCall>& calls);
  // The region is over; what was begun of a call ends.
  void CloseCalls();
  [[nodiscard]] bool has_open_call() const { return n_begun_ > n_ended_; }

  // Whether enough has come since the last time to look at a call once more: so that the work over
  // all of a long call stays in proportion to its length.
  [[nodiscard]] bool IsWorthParsing(size_t n_bytes, bool at_end);

 private:
  [[nodiscard]] std::string CallId(uint32_t index) const;

  const SplitterOptions options_;
  HeldText held_;
  std::vector<Event> events_;
  uint32_t n_calls_ = 0;
  // Of the region: calls begun and ended, and how much of the last one's arguments is told.
  uint32_t n_begun_ = 0;
  uint32_t n_ended_ = 0;
  size_t n_arguments_ = 0;
  size_t n_parsed_ = 0;
  bool done_ = false;
};

// Where marks stand in the text: <tool_call>, [TOOL_CALLS], <think>, ...
class OutputSplitter::TagSplitter final : public Splitter {
 public:
  explicit TagSplitter(SplitterOptions options);
  [[nodiscard]] bool in_reasoning() const override { return state_ == State::kReasoning; }

 private:
  enum class State : uint8_t { kContent, kReasoning, kRegion, kBroken };

  bool Step(bool at_end) override;
  bool StepContent(bool at_end);
  // At the answer's beginning; true when the state has changed, false when it is content or more
  // text is needed, which `needs_more` says.
  bool StepStart(bool at_end, bool& needs_more);
  bool StepReasoning(bool at_end);
  bool StepRegion(bool at_end);
  bool StepBroken(bool at_end);
  void EnterRegion(size_t n_space, size_t n_opener);
  // Goes on as content behind a call or reasoning.
  void EnterContent();
  [[nodiscard]] bool WantsCalls() const;
  [[nodiscard]] bool WantsBareCalls() const;

  State state_ = State::kContent;
  bool at_start_ = true;
  bool may_reason_ = true;        // no reasoning has been there yet
  bool may_answer_ = true;        // no answer_open has been there yet
  bool in_answer_ = false;        // it has, and no answer_close
  bool reasoning_began_ = false;  // with something that is not white space
  bool skips_space_ = false;
  size_t n_space_ = 0;   // of white space before the region
  size_t n_opener_ = 0;  // of the region's mark
  uint32_t n_failed_ = 0;
};

// Harmony: messages with a header each, <|channel|>final<|message|>text<|end|>. The format is
// described in OpenAI's "harmony response format".
class OutputSplitter::HarmonySplitter final : public Splitter {
 public:
  explicit HarmonySplitter(SplitterOptions options) : Splitter(std::move(options)) {}
  [[nodiscard]] bool in_reasoning() const override { return state_ == State::kReasoning; }

 private:
  enum class State : uint8_t { kHeader, kContent, kReasoning, kCall, kBroken };

  bool Step(bool at_end) override;
  bool StepHeader(bool at_end);
  bool StepBody(bool at_end);
  bool StepCall(bool at_end);
  void Enter(std::string_view header);
  // Tells n bytes of a body as what it is.
  void Tell(size_t n);

  State state_ = State::kHeader;
  std::string call_;
  bool skips_space_ = false;
};

}  // namespace plimsoll::server::api::output
