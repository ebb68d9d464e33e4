#include "server/api/tool_arguments.h"

#include "base/json_text.h"
#include "text/jinja/value.h"

namespace plimsoll::server::api {
namespace {

bool IsObject(std::string_view text) {
  const auto value = text::jinja::ParseJson(text);
  return value && value->is(text::jinja::Kind::kDict);
}

// Of valid JSON; numbers and strings stay as they are written.
std::string WithoutWhiteSpace(std::string_view json) {
  std::string compact;
  compact.reserve(json.size());
  bool in_string = false;
  bool escaped = false;
  for (const char c : json) {
    const bool white = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!in_string && white) continue;
    compact += c;
    if (!escaped && c == '"') in_string = !in_string;
    escaped = in_string && !escaped && c == '\\';
  }
  return compact;
}

}  // namespace

std::string ArgumentsObject(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return "{}";
  if (IsObject(text)) return WithoutWhiteSpace(text);
  return JsonText().BeginObject().Key("raw_arguments").String(text).EndObject().text();
}

}  // namespace plimsoll::server::api
