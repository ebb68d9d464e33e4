#include "server/api/ollama/messages.h"

#include <utility>
#include <vector>

#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "server/api/ollama/options.h"
#include "server/api/request_fields.h"

namespace plimsoll::server::api::ollama {
namespace {

constexpr std::string_view kRoleNames[] = {"system", "user", "assistant", "tool"};

std::vector<ToolCall> ReadCalls(const Field& field) {
  std::vector<ToolCall> calls;
  for (const Field& item : field.Array({.most = kToolsMost})) {
    Fields fields = item.Object();
    ToolCall call;
    call.id = fields["id"].String(kIdBytes).value_or("");
    (void)fields["type"].String();
    Fields function = fields.Required("function").Object();
    call.name = function.Required("name").String(kIdBytes).value_or("");
    const Field arguments = function["arguments"];
    (void)arguments.Object();
    call.arguments = arguments.present() ? arguments.Json() : "{}";
    (void)function["index"];
    function.NoteUnknown();
    fields.NoteUnknown();
    // Ollama's clients need not name calls; some templates want a name for each.
    if (call.id.empty()) call.id = fmt::format("call_{}", calls.size());
    calls.push_back(std::move(call));
  }
  return calls;
}

Message ReadMessage(const Field& item) {
  Message message;
  Fields fields = item.Object();
  const auto role =
      fields.Required("role").OneOf({kRoleNames[0], kRoleNames[1], kRoleNames[2], kRoleNames[3]});
  if (role) message.role = kRoleNames[*role];
  if (const auto content = fields["content"].String()) message.content = std::string(*content);
  RefuseUnlessEmpty(fields["images"], "models here read text only");
  message.reasoning = fields["thinking"].String().value_or("");
  message.tool_calls = ReadCalls(fields["tool_calls"]);
  message.name = fields["tool_name"].String(kIdBytes).value_or("");
  message.tool_call_id = fields["tool_call_id"].String(kIdBytes).value_or("");
  fields.NoteUnknown();
  return message;
}

Tool ReadTool(const Field& item) {
  Fields fields = item.Object();
  const Field type = fields["type"];
  if (const auto name = type.String(); name && *name != "function") {
    type.FailUnsupported("only tools of type 'function' are");
  }
  Fields function = fields.Required("function").Object();
  Tool tool = ReadFlatTool(function, "parameters");
  (void)function["type"];
  function.NoteUnknown();
  fields.NoteUnknown();
  return tool;
}

}  // namespace

Conversation ReadConversation(Fields& fields) {
  Conversation conversation;
  for (const Field& item : fields["messages"].Array({.most = kMessagesMost})) {
    conversation.messages.push_back(ReadMessage(item));
  }
  ReadToolList(fields["tools"], conversation, ReadTool);
  return conversation;
}

}  // namespace plimsoll::server::api::ollama
