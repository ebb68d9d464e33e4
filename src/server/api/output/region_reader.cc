#include "server/api/output/region_reader.h"

#include <algorithm>

#include "server/api/output/json_scan.h"
#include "server/api/output/literal_scan.h"

namespace plimsoll::server::api::output {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

Region RegionReader::Finish() && {
  if (!settled_) region_.state = Region::State::kDone;
  if (region_.state != Region::State::kFailed || region_.calls.empty()) return std::move(region_);
  // Arguments that are whole make a call, whatever its frame lacks.
  RegionCall& last = region_.calls.back();
  const bool at_end = SkipSpace(text_, region_.arguments_end) == text_.size();
  if (!last.complete && (at_end || !strict_) && IsJson(last.arguments, true)) {
    last.complete = true;
    region_.end = at_end ? text_.size() : region_.arguments_end;
    if (at_end) region_.state = Region::State::kDone;
  }
  return std::move(region_);
}

void RegionReader::WantMore() {
  if (settled_) return;
  settled_ = true;
  region_.state = at_end_ ? Region::State::kFailed : Region::State::kOpen;
}

void RegionReader::Fail() {
  if (settled_) return;
  settled_ = true;
  region_.state = Region::State::kFailed;
}

void RegionReader::Space() { at_ = SkipSpace(text_, at_); }

bool RegionReader::Skip(std::string_view mark) {
  if (settled_) return false;
  if (Rest().starts_with(mark)) {
    at_ += mark.size();
    return true;
  }
  if (mark.starts_with(Rest()) && !at_end_) WantMore();
  return false;
}

bool RegionReader::SkipLast(std::string_view mark) {
  const size_t before = at_;
  Space();
  if (Skip(mark)) return true;
  if (!settled_) at_ = before;
  return false;
}

void RegionReader::Expect(std::string_view mark) {
  if (Skip(mark) || settled_) return;
  mark.starts_with(Rest()) ? WantMore() : Fail();
}

std::optional<std::string_view> RegionReader::Until(std::initializer_list<std::string_view> marks) {
  if (settled_) return std::nullopt;
  size_t end = std::string_view::npos;
  for (const std::string_view mark : marks) end = std::min(end, Rest().find(mark));
  if (end == std::string_view::npos) {
    WantMore();
    return std::nullopt;
  }
  const std::string_view found = Rest().substr(0, end);
  at_ += end;
  return found;
}

std::string RegionReader::Name(std::initializer_list<std::string_view> marks) {
  if (settled_) return "";
  size_t end = std::string_view::npos;
  for (const std::string_view mark : marks) end = std::min(end, Rest().find(mark));
  const std::string_view name = Trimmed(Rest().substr(0, end));
  if (end != std::string_view::npos) {
    at_ += end;
    if (FindTool(name) == nullptr) Fail();
    return std::string(name);
  }
  // The beginning of a mark may stand behind the name, so only what is not a name at all counts.
  const bool may_be = std::any_of(tools_.begin(), tools_.end(), [&](const Tool& tool) {
    const std::string_view full = tool.name;
    return full.starts_with(name.substr(0, full.size()));
  });
  may_be ? WantMore() : Fail();
  return "";
}

std::string RegionReader::LiteralValue() {
  if (Peek() == 0) return "";
  Literal literal = ScanLiteral(text_, at_);
  at_ = literal.end;
  if (literal.state == JsonSpan::State::kOpen) WantMore();
  if (literal.state == JsonSpan::State::kBad) Fail();
  return std::move(literal.json);
}

char RegionReader::Peek() {
  if (settled_) return 0;
  if (at_ == text_.size()) {
    WantMore();
    return 0;
  }
  return text_[at_];
}

const Tool* RegionReader::FindTool(std::string_view name) const {
  const auto found = std::find_if(tools_.begin(), tools_.end(),
                                  [&](const Tool& tool) { return tool.name == name; });
  return found == tools_.end() ? nullptr : &*found;
}

void RegionReader::PartialCall(std::string name, std::string arguments) {
  if (region_.calls.empty() || region_.calls.back().complete) region_.calls.emplace_back();
  region_.calls.back().name = std::move(name);
  region_.calls.back().arguments = std::move(arguments);
  region_.arguments_end = at_;
}

void RegionReader::CompleteCall() {
  if (settled_) return;
  region_.calls.back().complete = true;
  Commit();
}

void RegionReader::Arguments(std::string name) {
  Space();
  if (Peek() != '{') {
    Fail();
    return;
  }
  const JsonSpan span = ScanJson(text_, at_);
  const size_t begin = std::exchange(at_, span.end);
  PartialCall(std::move(name), std::string(text_.substr(begin, span.end - begin)));
  if (span.state == JsonSpan::State::kOpen) WantMore();
  if (span.state == JsonSpan::State::kBad) Fail();
}

// What the member of a call's object holds; complete when the object is.
void RegionReader::MemberArguments(const CallObject& call, bool done) {
  const std::string_view json = text_.substr(call.begin, call.end - call.begin);
  if (!ok() || !call.name || json.empty()) return;
  std::string arguments(json);
  if (json[0] == '"') {  // an object that was quoted once more
    const auto inner = done ? UnquoteJson(json) : std::nullopt;
    if (done && !(inner && IsJson(*inner, true))) Fail();
    if (!inner) return;
    arguments = *inner;
  } else if (json == "null") {
    arguments = "{}";
  } else if (json[0] != '{') {
    if (done) Fail();
    return;
  }
  const size_t at = std::exchange(at_, call.end);
  PartialCall(*call.name, std::move(arguments));
  at_ = at;
}

std::string RegionReader::Key() {
  if (Peek() != '"') {
    Fail();
    return "";
  }
  const JsonSpan span = ScanJson(text_, at_);
  if (span.state != JsonSpan::State::kDone) {
    span.state == JsonSpan::State::kOpen ? WantMore() : Fail();
    return "";
  }
  const std::string_view json = text_.substr(at_, span.end - at_);
  at_ = span.end;
  Space();
  Expect(":");
  Space();
  return UnquoteJson(json).value_or("");
}

void RegionReader::CallMember(std::string_view key, CallObject& call) {
  if (Peek() == 0) return;
  const size_t begin = at_;
  const JsonSpan value = ScanJson(text_, begin);
  const bool done = value.state == JsonSpan::State::kDone;
  if (key == "name" && done) {
    call.name = UnquoteJson(text_.substr(begin, value.end - begin));
    if (!call.name || FindTool(*call.name) == nullptr) Fail();
    MemberArguments(call, true);
  } else if (key == "arguments" || key == "parameters") {
    call.begin = begin;
    call.end = value.end;
    MemberArguments(call, done);
  } else if (strict_ && key != "name" && key != "id" && key != "type") {
    Fail();
  }
  at_ = value.end;
  if (!done) value.state == JsonSpan::State::kOpen ? WantMore() : Fail();
}

void RegionReader::JsonCall(bool strict) {
  strict_ = strict;
  if (Peek() != '{') {
    Fail();
    return;
  }
  ++at_;
  CallObject call;
  for (bool first = true; ok(); first = false) {
    Space();
    if (Peek() == '}') break;
    if (!first) Expect(",");
    Space();
    const std::string key = Key();
    if (ok()) CallMember(key, call);
  }
  if (!ok()) return;
  ++at_;
  if (!call.name || (strict && call.end == 0)) {
    Fail();
    return;
  }
  if (call.end == 0) PartialCall(*call.name, "{}");
  CompleteCall();
}

}  // namespace plimsoll::server::api::output
