#include <utility>
#include <vector>

#include "server/api/output/json_scan.h"
#include "server/api/output/splitter.h"

namespace plimsoll::server::api::output {
namespace {

// A text full of marks that are none is not read again and again.
constexpr uint32_t kFailedMost = 64;

}  // namespace

OutputSplitter::TagSplitter::TagSplitter(SplitterOptions options) : Splitter(std::move(options)) {
  if (this->options().starts_in_reasoning) state_ = State::kReasoning;
}

bool OutputSplitter::TagSplitter::WantsCalls() const {
  return !options().tools.empty() && n_failed_ < kFailedMost;
}

bool OutputSplitter::TagSplitter::WantsBareCalls() const {
  return WantsCalls() && !BareCall(options().format.tools).empty();
}

bool OutputSplitter::TagSplitter::Step(bool at_end) {
  if (text().empty()) return false;
  switch (state_) {
    case State::kContent:
      return StepContent(at_end);
    case State::kReasoning:
      return StepReasoning(at_end);
    case State::kRegion:
      return StepRegion(at_end);
    case State::kBroken:
      return StepBroken(at_end);
  }
  return false;
}

bool OutputSplitter::TagSplitter::StepStart(bool at_end, bool& needs_more) {
  const std::string_view open = options().format.reasoning_open;
  const bool may_reason = may_reason_ && !open.empty();
  const size_t n_space = SkipSpace(text(), 0);
  const std::string_view rest = text().substr(n_space);
  if (may_reason && rest.starts_with(open)) {
    Drop(n_space + open.size());
    state_ = State::kReasoning;
    return true;
  }
  const std::string_view bare = BareCall(options().format.tools);
  if (WantsBareCalls() && rest.starts_with(bare)) {
    EnterRegion(n_space, bare.size());
    return true;
  }
  const std::string_view answer = options().format.answer_open;
  const bool may_answer = may_answer_ && !answer.empty();
  if (may_answer && rest.starts_with(answer)) {
    Drop(n_space + answer.size());
    may_answer_ = false;
    in_answer_ = true;
    EnterContent();
    return true;
  }
  const bool may_come = (may_reason && open.starts_with(rest)) ||
                        (may_answer && answer.starts_with(rest)) ||
                        (WantsBareCalls() && rest.empty());
  needs_more = may_come && !at_end;
  return false;
}

bool OutputSplitter::TagSplitter::StepContent(bool at_end) {
  if (skips_space_) {
    Drop(SkipSpace(text(), 0));
    if (text().empty()) return false;
    skips_space_ = false;
  }
  if (at_start_) {
    bool needs_more = false;
    if (StepStart(at_end, needs_more)) return true;
    if (needs_more) return false;
    if (SkipSpace(text(), 0) < text().size()) at_start_ = false;
  }
  std::vector<std::string_view> marks;
  if (WantsCalls()) {
    const auto openers = CallOpeners(options().format.tools);
    marks.assign(openers.begin(), openers.end());
  }
  const std::string_view close = options().format.answer_close;
  if (in_answer_) marks.push_back(close);
  if (marks.empty()) {
    Content(text().size());
    return false;
  }
  if (const FoundMark found = FindFirst(text(), marks); !found.mark.empty()) {
    const size_t n_text = TrimmedSize(text().substr(0, found.at));
    if (n_text > 0) Content(n_text);
    if (in_answer_ && found.mark == close) {
      Drop(found.at - n_text + close.size());
      in_answer_ = false;
      EnterContent();
    } else {
      EnterRegion(found.at - n_text, found.mark.size());
    }
    return true;
  }
  // White space before a call goes with it.
  const size_t n_sure = text().size() - PartialMark(text(), marks);
  const size_t n = at_end ? text().size() : TrimmedSize(text().substr(0, n_sure));
  if (n > 0) Content(n);
  return false;
}

bool OutputSplitter::TagSplitter::StepReasoning(bool at_end) {
  const std::string_view close = options().format.reasoning_close;
  if (!reasoning_began_) {
    Drop(SkipSpace(text(), 0));
    if (text().empty()) return false;
    reasoning_began_ = true;
  }
  const std::string_view closes[] = {close};
  if (const FoundMark found = FindFirst(text(), closes); !found.mark.empty()) {
    const size_t n_text = TrimmedSize(text().substr(0, found.at));
    Reasoning(n_text);
    Drop(found.at - n_text + close.size());
    may_reason_ = false;
    EnterContent();
    return true;
  }
  const size_t n_sure = text().size() - PartialMark(text(), closes);
  Reasoning(at_end ? text().size() : TrimmedSize(text().substr(0, n_sure)));
  return false;
}

void OutputSplitter::TagSplitter::EnterRegion(size_t n_space, size_t n_opener) {
  state_ = State::kRegion;
  at_start_ = false;
  n_space_ = n_space;
  n_opener_ = n_opener;
}

void OutputSplitter::TagSplitter::EnterContent() {
  CloseCalls();
  state_ = State::kContent;
  at_start_ = true;
  skips_space_ = true;
}

bool OutputSplitter::TagSplitter::StepRegion(bool at_end) {
  if (!IsWorthParsing(text().size(), at_end)) return false;
  const Region region =
      ParseRegion(options().format.tools, options().tools, text().substr(n_space_), at_end);
  TellCalls(region.calls);
  if (region.state == Region::State::kOpen) return false;
  if (region.state == Region::State::kFailed) {
    ++n_failed_;
    if (has_open_call()) {
      Drop(n_space_ + region.arguments_end);
      state_ = State::kBroken;
      return true;
    }
    if (region.end == 0) {  // no call at all: the mark is text, and what is behind it is looked at
      CloseCalls();
      Content(n_space_ + n_opener_);
      state_ = State::kContent;
      return true;
    }
  }
  Drop(n_space_ + region.end);
  EnterContent();
  return true;
}

bool OutputSplitter::TagSplitter::StepBroken(bool at_end) {
  const auto closers = CallClosers(options().format.tools);
  if (const FoundMark found = FindFirst(text(), closers); !found.mark.empty()) {
    BrokenArguments(found.at);
    // What begins the next call stays for it.
    const bool begins_next =
        !FindFirst(found.mark, CallOpeners(options().format.tools)).mark.empty();
    if (!begins_next) Drop(found.mark.size());
    EnterContent();
    return true;
  }
  BrokenArguments(at_end ? text().size() : text().size() - PartialMark(text(), closers));
  return false;
}

}  // namespace plimsoll::server::api::output
