#include "server/api/responses/tools.h"

#include <algorithm>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "server/api/request_fields.h"

namespace plimsoll::server::api::responses {
namespace {

void NeedFunction(Fields& fields) {
  const Field type = fields.Required("type");
  if (const auto name = type.String(); name && *name != "function") {
    type.FailUnsupported("only tools of type 'function' are");
  }
}

Tool ReadTool(const Field& item) {
  Fields fields = item.Object();
  NeedFunction(fields);
  Tool tool = ReadFlatTool(fields, "parameters");
  fields.NoteUnknown();
  return tool;
}

std::string ReadNamed(const Field& item, const Conversation& conversation) {
  Fields fields = item.Object();
  NeedFunction(fields);
  return ReadKnownTool(fields.Required("name"), conversation);
}

void ReadAllowed(Fields& fields, Conversation& conversation) {
  const auto mode = fields.Required("mode").OneOf({"auto", "required"});
  std::vector<std::string> names;
  for (const Field& item : fields.Required("tools").Array({.least = 1, .most = kToolsMost})) {
    names.push_back(ReadNamed(item, conversation));
  }
  std::erase_if(conversation.tools, [&](const Tool& tool) {
    return std::find(names.begin(), names.end(), tool.name) == names.end();
  });
  conversation.tool_choice.kind =
      mode == 1U ? ToolChoice::Kind::kRequired : ToolChoice::Kind::kAuto;
}

void ReadChoice(const Field& field, Conversation& conversation) {
  if (!field.present()) return;
  ToolChoice& choice = conversation.tool_choice;
  if (field.is_string()) {
    constexpr ToolChoice::Kind kKinds[] = {ToolChoice::Kind::kNone, ToolChoice::Kind::kAuto,
                                           ToolChoice::Kind::kRequired};
    if (const auto kind = field.OneOf({"none", "auto", "required"})) choice.kind = kKinds[*kind];
  } else {
    Fields fields = field.Object();
    const auto type = fields.Required("type").OneOf({"function", "allowed_tools"});
    if (type == 0U) {
      choice = {.kind = ToolChoice::Kind::kNamed, .name = ReadNamed(field, conversation)};
    } else if (type == 1U) {
      ReadAllowed(fields, conversation);
    }
  }
  if (choice.kind == ToolChoice::Kind::kRequired && conversation.tools.empty()) {
    field.Fail("invalid_value", "wants a call, and there are no tools");
  }
}

}  // namespace

void ReadTools(Fields& fields, Conversation& conversation) {
  ReadToolList(fields["tools"], conversation, ReadTool);
  ReadChoice(fields["tool_choice"], conversation);
  conversation.parallel_tool_calls = fields["parallel_tool_calls"].Bool().value_or(true);
}

}  // namespace plimsoll::server::api::responses
