#include "server/api/output/literal_scan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

namespace plimsoll::server::api::output {
namespace {

using State = JsonSpan::State;

constexpr uint32_t kLiteralDepthMost = 128;
constexpr std::string_view kGemmaQuote = "<|\"|>";
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kWords = {
    {{"True", "true"},
     {"False", "false"},
     {"None", "null"},
     {"true", "true"},
     {"false", "false"},
     {"null", "null"}}};

bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

void AppendUtf8(uint32_t point, std::string& out) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | (point >> 6U));
    out += static_cast<char>(0x80 | (point & 0x3FU));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | (point >> 12U));
    out += static_cast<char>(0x80 | ((point >> 6U) & 0x3FU));
    out += static_cast<char>(0x80 | (point & 0x3FU));
  } else {
    out += static_cast<char>(0xF0 | (point >> 18U));
    out += static_cast<char>(0x80 | ((point >> 12U) & 0x3FU));
    out += static_cast<char>(0x80 | ((point >> 6U) & 0x3FU));
    out += static_cast<char>(0x80 | (point & 0x3FU));
  }
}

class Scanner {
 public:
  Scanner(std::string_view text, size_t begin) : text_(text), at_(begin) {}

  Literal Scan() {
    const State state = Value(0);
    return {.state = state, .end = at_, .json = state == State::kDone ? std::move(json_) : ""};
  }

 private:
  [[nodiscard]] bool AtEnd() const { return at_ == text_.size(); }
  [[nodiscard]] std::string_view Rest() const { return text_.substr(at_); }
  void Space() { at_ = SkipSpace(text_, at_); }

  State Value(uint32_t depth) {
    if (AtEnd()) return State::kOpen;
    if (depth > kLiteralDepthMost) return State::kBad;
    const char c = text_[at_];
    if (c == '\'' || c == '"') return Quoted(c);
    if (c == '<') return Marked();
    if (c == '[') return List(depth);
    if (c == '{') return Object(depth);
    return c == '-' || (c >= '0' && c <= '9') ? Number() : Word();
  }

  // A string between two marks, in which nothing is escaped.
  State Marked() {
    if (!Rest().starts_with(kGemmaQuote)) {
      return kGemmaQuote.starts_with(Rest()) ? End(State::kOpen) : State::kBad;
    }
    const size_t begin = at_ + kGemmaQuote.size();
    const size_t close = text_.find(kGemmaQuote, begin);
    if (close == std::string_view::npos) return End(State::kOpen);
    json_ += QuoteJson(text_.substr(begin, close - begin));
    at_ = close + kGemmaQuote.size();
    return State::kDone;
  }

  State Quoted(char quote) {
    std::string value;
    for (++at_; !AtEnd(); ++at_) {
      const char c = text_[at_];
      if (c == quote) {
        ++at_;
        json_ += QuoteJson(value);
        return State::kDone;
      }
      if (c != '\\') {
        value += c;
      } else if (const State state = Escape(value); state != State::kDone) {
        return state;
      }
    }
    return State::kOpen;
  }

  // At the backslash; stays at the last byte of the escape.
  State Escape(std::string& value) {
    constexpr std::string_view kNames = "nrtbf0";
    constexpr std::string_view kMeant("\n\r\t\b\f\0", 6);
    if (at_ + 1 == text_.size()) return End(State::kOpen);
    const char c = text_[++at_];
    if (const size_t i = kNames.find(c); i != std::string_view::npos) {
      value += kMeant[i];
    } else if (c == 'u' || c == 'x') {
      return CodePoint(c == 'u' ? 4 : 2, value);
    } else if (c == '\\' || c == '\'' || c == '"' || c == '/') {
      value += c;
    } else {  // as Python has it
      value += '\\';
      value += c;
    }
    return State::kDone;
  }

  // \uXXXX, perhaps the first of two that are one character, or \xXX.
  State CodePoint(size_t n_digits, std::string& value) {
    uint32_t point = 0;
    if (const State state = Hex(n_digits, point); state != State::kDone) return state;
    if (point >= 0xD800 && point < 0xDC00) {
      if (text_.size() - at_ < 3) return End(State::kOpen);
      uint32_t low = 0;
      if (text_.substr(at_ + 1, 2) != "\\u") return State::kBad;
      at_ += 2;
      if (const State state = Hex(4, low); state != State::kDone) return state;
      if (low < 0xDC00 || low > 0xDFFF) return State::kBad;
      point = 0x10000 + ((point - 0xD800) << 10U) + (low - 0xDC00);
    } else if (point >= 0xDC00 && point <= 0xDFFF) {
      return State::kBad;
    }
    AppendUtf8(point, value);
    return State::kDone;
  }

  State Hex(size_t n_digits, uint32_t& point) {
    const std::string_view digits = text_.substr(at_ + 1, n_digits);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), point, 16);
    if (parsed.ptr != digits.data() + digits.size()) return State::kBad;
    if (digits.size() < n_digits) return End(State::kOpen);
    at_ += n_digits;
    return State::kDone;
  }

  State Number() {
    const JsonSpan span = ScanJson(text_, at_);
    if (span.state == State::kDone) json_ += text_.substr(at_, span.end - at_);
    at_ = span.end;
    return span.state;
  }

  State Word() {
    const size_t begin = at_;
    while (!AtEnd() && IsWordByte(text_[at_])) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    for (const auto& [name, json] : kWords) {
      if (AtEnd() && name.starts_with(word)) return State::kOpen;
      if (word == name) {
        json_ += json;
        return State::kDone;
      }
    }
    at_ = begin;
    return State::kBad;
  }

  State List(uint32_t depth) {
    json_ += '[';
    ++at_;
    for (bool first = true;; first = false) {
      Space();
      if (AtEnd()) return State::kOpen;
      if (text_[at_] == ']') break;
      if (!first) json_ += ',';
      if (const State state = Value(depth + 1); state != State::kDone) return state;
      if (const State state = Separator(']'); state != State::kDone) return state;
    }
    json_ += ']';
    ++at_;
    return State::kDone;
  }

  State Object(uint32_t depth) {
    json_ += '{';
    ++at_;
    for (bool first = true;; first = false) {
      Space();
      if (AtEnd()) return State::kOpen;
      if (text_[at_] == '}') break;
      if (!first) json_ += ',';
      if (const State state = Key(); state != State::kDone) return state;
      Space();
      if (AtEnd()) return State::kOpen;
      if (text_[at_] != ':') return State::kBad;
      ++at_;
      json_ += ':';
      Space();
      if (const State state = Value(depth + 1); state != State::kDone) return state;
      if (const State state = Separator('}'); state != State::kDone) return state;
    }
    json_ += '}';
    ++at_;
    return State::kDone;
  }

  State Key() {
    const char c = text_[at_];
    if (c == '\'' || c == '"') return Quoted(c);
    if (c == '<') return Marked();
    const size_t begin = at_;
    while (!AtEnd() && IsWordByte(text_[at_])) ++at_;
    if (AtEnd()) return State::kOpen;
    if (at_ == begin) return State::kBad;
    json_ += QuoteJson(text_.substr(begin, at_ - begin));
    return State::kDone;
  }

  // A comma, or stays before what closes.
  State Separator(char close) {
    Space();
    if (AtEnd()) return State::kOpen;
    if (text_[at_] == ',') {
      ++at_;
      return State::kDone;
    }
    return text_[at_] == close ? State::kDone : State::kBad;
  }

  State End(State state) {
    at_ = text_.size();
    return state;
  }

  std::string_view text_;
  size_t at_;
  std::string json_;
};

}  // namespace

Literal ScanLiteral(std::string_view text, size_t begin) { return Scanner(text, begin).Scan(); }

}  // namespace plimsoll::server::api::output
