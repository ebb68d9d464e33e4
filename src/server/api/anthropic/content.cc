#include "server/api/anthropic/content.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "server/api/request_fields.h"

namespace plimsoll::server::api::anthropic {
namespace {

// Blocks whose kind is "text" alone: of `system` and of a tool's result.
std::optional<std::string> ReadTextBlocks(const Field& field) {
  if (!field.is_array()) {
    const auto text = field.String();
    return text ? std::optional<std::string>(*text) : std::nullopt;
  }
  std::optional<std::string> joined;
  for (const Field& item : field.Array({.most = kPartsMost})) {
    Fields block = item.Object();
    const Field type = block.Required("type");
    if (const auto name = type.String(); name && *name != "text") {
      type.FailUnsupported("blocks of type 'text' are");
      return std::nullopt;
    }
    AppendPart(joined, block.Required("text").String().value_or(""));
    (void)block["cache_control"];
    (void)block["citations"];
    block.NoteUnknown();
  }
  return joined;
}

class MessageReader {
 public:
  std::vector<Message> Take() { return std::move(messages_); }

  void ReadSystem(const Field& field) {
    auto text = ReadTextBlocks(field);
    if (text) messages_.push_back({.role = "system", .content = std::move(text)});
  }

  void ReadMessage(const Field& item) {
    Fields fields = item.Object();
    const auto role = fields.Required("role").OneOf({"user", "assistant", "system"});
    const Field content = fields.Required("content");
    fields.NoteUnknown();
    if (!role || !content.present()) return;
    if (*role == 2) {
      ReadSystem(content);
      return;
    }
    Message message{.role = *role == 0 ? "user" : "assistant"};
    if (content.is_array()) {
      for (const Field& block : content.Array({.least = 1, .most = kPartsMost})) {
        ReadBlock(block, message);
      }
    } else if (const auto text = content.String()) {
      message.content = std::string(*text);
    }
    const bool only_results = message.role == "user" && !message.content && content.is_array();
    if (!only_results) messages_.push_back(std::move(message));
  }

 private:
  void ReadBlock(const Field& item, Message& message) {
    Fields block = item.Object();
    const Field type = block.Required("type");
    const std::string_view name = type.String().value_or("");
    const bool assistant = message.role == "assistant";
    (void)block["cache_control"];
    if (name == "text") {
      AppendPart(message.content, block.Required("text").String().value_or(""));
      (void)block["citations"];
    } else if (name == "thinking" && assistant) {
      message.reasoning += block.Required("thinking").String().value_or("");
      (void)block["signature"].String();
    } else if (name == "redacted_thinking" && assistant) {
      (void)block["data"].String();  // nothing in it can be read
    } else if (name == "tool_use" && assistant) {
      ReadToolUse(block, message);
    } else if (name == "tool_result" && !assistant) {
      ReadToolResult(block);
    } else if (type.present()) {
      type.FailUnsupported(fmt::format(
          "in a message of role '{}' blocks of type {} are", message.role,
          assistant ? "'text', 'thinking' and 'tool_use'" : "'text' and 'tool_result'"));
    }
    block.NoteUnknown();
  }

  void ReadToolUse(Fields& block, Message& message) {
    ToolCall call;
    call.id = block.Required("id").String(kIdBytes).value_or("");
    call.name = block.Required("name").String(kIdBytes).value_or("");
    const Field input = block.Required("input");
    (void)input.Object();
    call.arguments = input.Json();
    tool_names_[call.id] = call.name;
    message.tool_calls.push_back(std::move(call));
    (void)block["caller"];
  }

  void ReadToolResult(Fields& block) {
    Message result{.role = "tool"};
    const Field id = block.Required("tool_use_id");
    result.tool_call_id = id.String(kIdBytes).value_or("");
    const auto name = tool_names_.find(result.tool_call_id);
    if (name != tool_names_.end()) {
      result.name = name->second;
    } else if (id.is_string()) {
      id.Fail("invalid_value", "is the 'id' of no 'tool_use' block before it");
    }
    result.content = ReadTextBlocks(block["content"]).value_or("");
    // Templates have no place for this; the model is to know it all the same.
    if (block["is_error"].Bool().value_or(false)) *result.content = "Error: " + *result.content;
    messages_.push_back(std::move(result));
  }

  std::vector<Message> messages_;
  std::map<std::string, std::string> tool_names_;  // by the call's id
};

}  // namespace

std::vector<Message> ReadMessages(Fields& fields) {
  MessageReader reader;
  reader.ReadSystem(fields["system"]);
  const Field list = fields.Required("messages");
  for (const Field& item : list.Array({.least = 1, .most = kMessagesMost})) {
    reader.ReadMessage(item);
  }
  std::vector<Message> messages = reader.Take();
  if (!messages.empty() && messages.back().role == "assistant") {
    list.FailUnsupported("the last message must be the user's, not a start of the answer");
  }
  return messages;
}

}  // namespace plimsoll::server::api::anthropic
