#include "server/api/output/json_scan.h"

#include "base/json_text.h"
#include "text/jinja/value.h"

namespace plimsoll::server::api::output {
namespace {

constexpr uint32_t kDepthMost = 128;
constexpr std::string_view kSpace = " \t\r\n";

using State = JsonSpan::State;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

JsonSpan ScanString(std::string_view text, size_t i) {
  for (++i; i < text.size(); ++i) {
    if (text[i] == '"') return {State::kDone, i + 1};
    if (static_cast<unsigned char>(text[i]) < 0x20) return {State::kBad, i};
    if (text[i] != '\\') continue;
    if (++i >= text.size()) break;
    if (text[i] == 'u') {
      for (int digit = 0; digit < 4; ++digit) {
        if (++i >= text.size()) return {State::kOpen, text.size()};
        if (!IsHexDigit(text[i])) return {State::kBad, i};
      }
    } else if (std::string_view("\"\\/bfnrt").find(text[i]) == std::string_view::npos) {
      return {State::kBad, i};
    }
  }
  return {State::kOpen, text.size()};
}

// At least one digit from i on.
JsonSpan ScanDigits(std::string_view text, size_t i) {
  const size_t begin = i;
  while (i < text.size() && IsDigit(text[i])) ++i;
  if (i == text.size()) return {State::kOpen, i};
  return {i > begin ? State::kDone : State::kBad, i};
}

JsonSpan ScanNumber(std::string_view text, size_t i) {
  if (text[i] == '-' && ++i == text.size()) return {State::kOpen, i};
  JsonSpan part = text[i] == '0' ? JsonSpan{State::kDone, i + 1} : ScanDigits(text, i);
  if (part.state != State::kDone) return part;
  if (part.end == text.size()) return {State::kOpen, part.end};
  if (text[part.end] == '.') {
    part = ScanDigits(text, part.end + 1);
    if (part.state != State::kDone) return part;
  }
  if (text[part.end] == 'e' || text[part.end] == 'E') {
    size_t exponent = part.end + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    part = ScanDigits(text, exponent);
  }
  return part;
}

JsonSpan ScanWord(std::string_view text, size_t i, std::string_view word) {
  for (const char c : word) {
    if (i == text.size()) return {State::kOpen, i};
    if (text[i] != c) return {State::kBad, i};
    ++i;
  }
  return {State::kDone, i};
}

JsonSpan ScanValue(std::string_view text, size_t i, uint32_t depth);

// From behind the bracket that opens an array or an object.
JsonSpan ScanMembers(std::string_view text, size_t i, char close, uint32_t depth) {
  if (depth > kDepthMost) return {State::kBad, i};
  i = SkipSpace(text, i);
  if (i < text.size() && text[i] == close) return {State::kDone, i + 1};
  while (i < text.size()) {
    if (close == '}') {
      if (text[i] != '"') return {State::kBad, i};
      const JsonSpan key = ScanString(text, i);
      if (key.state != State::kDone) return key;
      i = SkipSpace(text, key.end);
      if (i == text.size()) break;
      if (text[i] != ':') return {State::kBad, i};
      i = SkipSpace(text, i + 1);
      if (i == text.size()) break;
    }
    const JsonSpan value = ScanValue(text, i, depth);
    if (value.state != State::kDone) return value;
    i = SkipSpace(text, value.end);
    if (i == text.size()) break;
    if (text[i] == close) return {State::kDone, i + 1};
    if (text[i] != ',') return {State::kBad, i};
    i = SkipSpace(text, i + 1);
  }
  return {State::kOpen, text.size()};
}

JsonSpan ScanValue(std::string_view text, size_t i, uint32_t depth) {
  if (i >= text.size()) return {State::kOpen, i};
  switch (text[i]) {
    case '{':
      return ScanMembers(text, i + 1, '}', depth + 1);
    case '[':
      return ScanMembers(text, i + 1, ']', depth + 1);
    case '"':
      return ScanString(text, i);
    case 't':
      return ScanWord(text, i, "true");
    case 'f':
      return ScanWord(text, i, "false");
    case 'n':
      return ScanWord(text, i, "null");
    default:
      return text[i] == '-' || IsDigit(text[i]) ? ScanNumber(text, i) : JsonSpan{State::kBad, i};
  }
}

}  // namespace

JsonSpan ScanJson(std::string_view text, size_t begin) { return ScanValue(text, begin, 0); }

size_t SkipSpace(std::string_view text, size_t begin) {
  const size_t found = text.find_first_not_of(kSpace, begin);
  return found == std::string_view::npos ? text.size() : found;
}

std::optional<std::string> UnquoteJson(std::string_view json) {
  const auto value = text::jinja::ParseJson(json);
  if (!value || !value->is(text::jinja::Kind::kString)) return std::nullopt;
  return value->string();
}

std::string QuoteJson(std::string_view text) { return JsonText().String(text).text(); }

bool IsJson(std::string_view text, bool object_only) {
  const size_t begin = SkipSpace(text, 0);
  if (begin == text.size() || (object_only && text[begin] != '{')) return false;
  // A number ends with what comes behind it.
  const std::string closed = std::string(text) + " ";
  const JsonSpan span = ScanJson(closed, begin);
  return span.state == State::kDone && SkipSpace(closed, span.end) == closed.size();
}

}  // namespace plimsoll::server::api::output
