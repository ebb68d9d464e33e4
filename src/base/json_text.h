// Writing JSON: what --json prints.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace plimsoll {

// Builds one JSON text from left to right; commas and quotes are its work, the order of calls is
// the caller's. On one line, no spaces.
//
//   JsonText json;
//   json.BeginObject().Key("pos").Number(0).Key("top").BeginArray().EndArray().EndObject();
//   json.text();   {"pos":0,"top":[]}
class JsonText {
 public:
  JsonText& BeginObject() { return Open('{'); }
  JsonText& EndObject() { return Close('}'); }
  JsonText& BeginArray() { return Open('['); }
  JsonText& EndArray() { return Close(']'); }

  JsonText& Key(std::string_view key);
  // Bytes that are not UTF-8 become U+FFFD.
  JsonText& String(std::string_view text);
  JsonText& Bool(bool value) { return Literal(value ? "true" : "false"); }
  JsonText& Null() { return Literal("null"); }
  // `json` as it is: a whole value that is JSON already.
  JsonText& Raw(std::string_view json) { return Literal(json); }
  // The shortest digits that read back as the same value of the same type; NaN and infinities,
  // which JSON lacks, become null.
  JsonText& Number(double value);
  JsonText& Number(float value);
  JsonText& Number(std::integral auto value) { return Literal(std::to_string(value)); }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  JsonText& Open(char bracket);
  JsonText& Close(char bracket);
  JsonText& Literal(std::string_view literal);
  void Separate();

  std::string text_;
  bool needs_comma_ = false;
};

}  // namespace plimsoll
