#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/api/openai/conversation_fields.h"

namespace plimsoll::server::api::openai {
namespace {

constexpr uint64_t kMessagesMost = 10'000;
constexpr uint64_t kPartsMost = 10'000;
constexpr uint64_t kCallsMost = 128;

ToolCall ReadFunction(const Field& field) {
  ToolCall call;
  Fields function = field.Object();
  call.name = ReadToolName(function.Required("name"));
  const Field arguments = function["arguments"];
  // OpenAI's are a string with JSON in it; some clients send the object itself.
  call.arguments =
      arguments.is_object() ? arguments.Json() : std::string(arguments.String().value_or("{}"));
  return call;
}

std::vector<ToolCall> ReadToolCalls(const Field& field) {
  std::vector<ToolCall> calls;
  for (const Field& item : field.Array({.most = kCallsMost})) {
    Fields fields = item.Object();
    const Field type = fields["type"];
    if (const auto name = type.String(); name && *name != "function") {
      type.FailUnsupported("only calls of type 'function' are");
    }
    const std::string id(fields["id"].String({.most = 256}).value_or(""));
    ToolCall call = ReadFunction(fields.Required("function"));
    call.id = id;
    calls.push_back(std::move(call));
  }
  return calls;
}

void ReadAssistant(Fields& fields, Message& message) {
  message.tool_calls = ReadToolCalls(fields["tool_calls"]);
  if (const Field old = fields["function_call"]; old.present()) {
    message.tool_calls.push_back(ReadFunction(old));
  }
  const Field reasoning = fields["reasoning_content"];
  const auto text = reasoning.String();
  const auto other = fields["reasoning"].String();
  message.reasoning = text.value_or(other.value_or(""));
  const auto refusal = fields["refusal"].String();
  if (!message.content && refusal) message.content = *refusal;
  (void)fields["annotations"];
  (void)fields["audio"];
}

constexpr std::string_view kRoles[] = {"developer", "system", "user",
                                       "assistant", "tool",   "function"};

std::string RoleOf(Fields& fields) {
  const auto role = fields.Required("role").OneOf(
      {kRoles[0], kRoles[1], kRoles[2], kRoles[3], kRoles[4], kRoles[5]});
  if (!role) return "";
  const std::string_view name = kRoles[*role];
  if (name == "developer") return "system";
  return name == "function" ? "tool" : std::string(name);
}

Message ReadMessage(const Field& item) {
  Message message;
  Fields fields = item.Object();
  message.role = RoleOf(fields);
  const Field content = fields["content"];
  message.content = ReadTextContent(content, message.role == "assistant" ? "refusal" : "");
  message.name = fields["name"].String({.most = 256}).value_or("");
  if (message.role == "assistant") {
    ReadAssistant(fields, message);
  } else if (message.role == "tool") {
    message.tool_call_id = fields["tool_call_id"].String({.most = 256}).value_or("");
  }
  const bool needs_content = message.role != "assistant";
  if (needs_content && !message.content) {
    content.Fail("missing_required_parameter", "is required");
  }
  fields.NoteUnknown();
  return message;
}

}  // namespace

std::optional<std::string> ReadTextContent(const Field& field, std::string_view other) {
  if (!field.present()) return std::nullopt;
  if (!field.is_array()) {
    const auto text = field.String();
    return text ? std::optional<std::string>(*text) : std::nullopt;
  }
  std::optional<std::string> joined;
  for (const Field& part : field.Array({.most = kPartsMost})) {
    Fields fields = part.Object();
    const Field type = fields.Required("type");
    const std::string_view name = type.String().value_or("");
    if (name != "text" && (other.empty() || name != other)) {
      type.FailUnsupported("parts of type 'text' are");
      return std::nullopt;
    }
    const std::string_view text = fields.Required(name).String().value_or("");
    if (joined) *joined += '\n';
    joined = joined.value_or("") + std::string(text);
  }
  return joined ? joined : std::optional<std::string>("");
}

std::vector<Message> ReadMessages(Fields& fields) {
  std::vector<Message> messages;
  for (const Field& item : fields.Required("messages").Array({.least = 1, .most = kMessagesMost})) {
    messages.push_back(ReadMessage(item));
  }
  return messages;
}

}  // namespace plimsoll::server::api::openai
