#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "server/api/output/json_scan.h"
#include "server/api/output/splitter.h"

namespace plimsoll::server::api::output {
namespace {

constexpr std::string_view kStart = "<|start|>";
constexpr std::string_view kChannel = "<|channel|>";
constexpr std::string_view kMessage = "<|message|>";
constexpr std::string_view kFunctions = "functions.";
constexpr std::string_view kMessageMark[] = {kMessage};
// What a body ends with; the last two begin the next message.
constexpr std::string_view kBodyEnds[] = {"<|end|>", "<|call|>", "<|return|>", kStart, kChannel};
constexpr size_t kHeaderMost = 1024;

// What a header may begin with: the answer's first one goes on behind "<|start|>assistant".
constexpr std::string_view kHeaderBegins[] = {kStart, kChannel, "to=", kMessage};

bool MayBeHeader(std::string_view text) {
  const std::string_view rest = text.substr(SkipSpace(text, 0));
  return std::any_of(
      std::begin(kHeaderBegins), std::end(kHeaderBegins),
      [&](std::string_view begin) { return rest.starts_with(begin) || begin.starts_with(rest); });
}

// The word behind `key` in a header.
std::string_view WordBehind(std::string_view header, std::string_view key) {
  const size_t at = header.find(key);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = header.substr(at + key.size());
  return rest.substr(0, rest.find_first_of(" \t\r\n<"));
}

}  // namespace

bool OutputSplitter::HarmonySplitter::Step(bool at_end) {
  if (text().empty()) return false;
  switch (state_) {
    case State::kHeader:
      return StepHeader(at_end);
    case State::kCall:
      return StepCall(at_end);
    case State::kContent:
    case State::kReasoning:
    case State::kBroken:
      return StepBody(at_end);
  }
  return false;
}

void OutputSplitter::HarmonySplitter::Enter(std::string_view header) {
  const std::string_view recipient = WordBehind(header, "to=");
  call_ = recipient.starts_with(kFunctions) ? recipient.substr(kFunctions.size()) : "";
  const bool is_tool =
      std::any_of(options().tools.begin(), options().tools.end(),
                  [&](const Tool& tool) { return !call_.empty() && tool.name == call_; });
  if (is_tool) {
    state_ = State::kCall;
  } else if (recipient.empty() && WordBehind(header, kChannel) == "analysis") {
    state_ = State::kReasoning;
  } else {
    state_ = State::kContent;
  }
}

bool OutputSplitter::HarmonySplitter::StepHeader(bool at_end) {
  if (!MayBeHeader(text())) {  // a model that leaves the format
    state_ = State::kContent;
    return true;
  }
  const FoundMark found = FindFirst(text(), kMessageMark);
  if (!found.mark.empty()) {
    Enter(text().substr(0, found.at));
    Drop(found.at + found.mark.size());
    return true;
  }
  if (at_end) {
    Drop(text().size());  // a header without a message
    return false;
  }
  if (text().size() > kHeaderMost) {
    state_ = State::kContent;
    Content(1);
    return true;
  }
  return false;
}

void OutputSplitter::HarmonySplitter::Tell(size_t n) {
  if (state_ == State::kContent) {
    Content(n);
  } else if (state_ == State::kReasoning) {
    Reasoning(n);
  } else {
    BrokenArguments(n);
  }
}

bool OutputSplitter::HarmonySplitter::StepBody(bool at_end) {
  if (skips_space_) {
    Drop(SkipSpace(text(), 0));
    if (text().empty()) return false;
    skips_space_ = false;
  }
  const FoundMark found = FindFirst(text(), kBodyEnds);
  if (found.mark.empty()) {
    const size_t n = at_end ? text().size() : text().size() - PartialMark(text(), kBodyEnds);
    if (n > 0) Tell(n);
    return false;
  }
  if (found.at > 0) Tell(found.at);
  const bool begins_next = found.mark == kStart || found.mark == kChannel;
  if (!begins_next) Drop(found.mark.size());
  CloseCalls();
  state_ = State::kHeader;
  return true;
}

bool OutputSplitter::HarmonySplitter::StepCall(bool at_end) {
  if (!IsWorthParsing(text().size(), at_end)) return false;
  const FoundMark found = FindFirst(text(), kBodyEnds);
  const bool whole = at_end || !found.mark.empty();
  const Region region = ParseArguments(call_, text().substr(0, found.at), whole);
  TellCalls(region.calls);
  if (region.state == Region::State::kOpen) return false;
  if (has_open_call()) {
    Drop(region.arguments_end);
    state_ = State::kBroken;
    return true;
  }
  Drop(region.end);
  CloseCalls();
  skips_space_ = true;  // up to the body's end
  state_ = State::kContent;
  return true;
}

}  // namespace plimsoll::server::api::output
