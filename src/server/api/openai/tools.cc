#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "server/api/json/convert.h"
#include "server/api/openai/conversation_fields.h"

namespace plimsoll::server::api::openai {
namespace {

using text::jinja::Member;
using text::jinja::Value;

constexpr uint64_t kToolsMost = 128;
constexpr size_t kToolBytesMost = 512 << 10;
constexpr uint64_t kNameBytesMost = 128;

bool IsNameCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("_-.:/").find(c) != std::string_view::npos;
}

// What the templates see: the client's own object, with parameters in any case.
Value Definition(Fields& function) {
  std::vector<Member> members;
  bool has_parameters = false;
  for (const auto& [key, member] : function.Members()) {
    if (!member.present()) continue;
    has_parameters |= key == "parameters";
    members.emplace_back(key, ToTemplateValue(*member.value()));
  }
  if (!has_parameters) {
    members.emplace_back("parameters",
                         Value::Object({{"type", "object"}, {"properties", Value::Object({})}}));
  }
  return Value::Object({{"type", "function"}, {"function", Value::Object(std::move(members))}});
}

Tool ReadTool(const Field& item) {
  Fields fields = item.Object();
  const Field type = fields.Required("type");
  if (const auto name = type.String(); name && *name != "function") {
    type.FailUnsupported("only tools of type 'function' are");
  }
  Fields function = fields.Required("function").Object();
  Tool tool{.name = ReadToolName(function.Required("name"))};
  (void)function["description"].String();
  (void)function["parameters"].Object();
  (void)function["strict"].Bool();
  tool.definition = Definition(function);
  return tool;
}

bool HasTool(const Conversation& conversation, std::string_view name) {
  return std::any_of(conversation.tools.begin(), conversation.tools.end(),
                     [&](const Tool& tool) { return tool.name == name; });
}

// The name in {"type": "function", "function": {"name": ...}} if there is such a tool.
std::string NamedTool(const Field& field, const Conversation& conversation) {
  Fields fields = field.Object();
  const Field type = fields.Required("type");
  if (const auto kind = type.String(); kind && *kind != "function") {
    type.FailUnsupported("only 'function' is");
    return "";
  }
  const Field name = fields.Required("function").Object().Required("name");
  std::string text = ReadToolName(name);
  if (!text.empty() && !HasTool(conversation, text)) {
    name.Fail("invalid_value", "is none of the tools");
  }
  return text;
}

void ReadAllowedTools(const Field& field, Conversation& conversation) {
  Fields fields = field.Object();
  const auto mode = fields.Required("mode").OneOf({"auto", "required"});
  std::vector<std::string> names;
  for (const Field& item : fields.Required("tools").Array({.least = 1, .most = kToolsMost})) {
    names.push_back(NamedTool(item, conversation));
  }
  std::erase_if(conversation.tools, [&](const Tool& tool) {
    return std::find(names.begin(), names.end(), tool.name) == names.end();
  });
  conversation.tool_choice.kind = mode == 1 ? ToolChoice::Kind::kRequired : ToolChoice::Kind::kAuto;
}

void ReadToolChoice(const Field& field, Conversation& conversation) {
  ToolChoice& choice = conversation.tool_choice;
  if (!field.present()) return;
  if (field.is_string()) {
    constexpr ToolChoice::Kind kKinds[] = {ToolChoice::Kind::kNone, ToolChoice::Kind::kAuto,
                                           ToolChoice::Kind::kRequired};
    if (const auto kind = field.OneOf({"none", "auto", "required"})) choice.kind = kKinds[*kind];
  } else {
    Fields fields = field.Object();
    const auto type = fields.Required("type").OneOf({"function", "allowed_tools"});
    if (type == 0U) {
      choice.kind = ToolChoice::Kind::kNamed;
      choice.name = NamedTool(field, conversation);
    } else if (type == 1U) {
      ReadAllowedTools(fields.Required("allowed_tools"), conversation);
    }
  }
  if (choice.kind == ToolChoice::Kind::kRequired && conversation.tools.empty()) {
    field.Fail("invalid_value", "wants a call, and there are no tools");
  }
}

}  // namespace

std::string ReadToolName(const Field& field) {
  const auto name = field.String({.least = 1, .most = kNameBytesMost});
  if (!name) return "";
  if (!std::all_of(name->begin(), name->end(), IsNameCharacter)) {
    field.Fail("invalid_value", "may have letters, digits and '_', '-', '.', ':', '/' only");
    return "";
  }
  return std::string(*name);
}

void ReadTools(Fields& fields, Conversation& conversation) {
  const Field list = fields["tools"];
  size_t n_bytes = 0;
  for (const Field& item : list.Array({.most = kToolsMost})) {
    n_bytes += item.Json().size();
    if (n_bytes > kToolBytesMost) {
      list.Fail("invalid_value", fmt::format("may have {} bytes of JSON at most", kToolBytesMost));
      return;
    }
    Tool tool = ReadTool(item);
    if (HasTool(conversation, tool.name)) {
      item.Fail("invalid_value", "has the name of another tool");
    }
    conversation.tools.push_back(std::move(tool));
  }
  ReadToolChoice(fields["tool_choice"], conversation);
  conversation.parallel_tool_calls = fields["parallel_tool_calls"].Bool().value_or(true);
  for (const std::string_view key : {"functions", "function_call"}) {
    if (const Field old = fields[key]; old.present()) {
      old.FailUnsupported("'tools' and 'tool_choice' have taken its place");
    }
  }
}

}  // namespace plimsoll::server::api::openai
