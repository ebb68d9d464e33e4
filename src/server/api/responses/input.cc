#include "server/api/responses/input.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json/value.hpp>

#include "server/api/request_fields.h"

namespace plimsoll::server::api::responses {
namespace {

// A text, or parts of type input_text, output_text, text, refusal.
std::optional<std::string> ReadParts(const Field& field) {
  if (!field.is_array()) {
    const auto text = field.String();
    return text ? std::optional<std::string>(*text) : std::nullopt;
  }
  std::optional<std::string> joined;
  for (const Field& item : field.Array({.most = kPartsMost})) {
    Fields part = item.Object();
    const Field type = part.Required("type");
    const std::string_view name = type.String().value_or("");
    if (name == "input_text" || name == "output_text" || name == "text") {
      AppendPart(joined, part.Required("text").String().value_or(""));
    } else if (name == "refusal") {
      AppendPart(joined, part.Required("refusal").String().value_or(""));
    } else if (type.present()) {
      type.FailUnsupported("parts of type 'input_text' and 'output_text' are");
    }
    (void)part["annotations"];
    (void)part["logprobs"];
    part.NoteUnknown();
  }
  return joined ? joined : std::optional<std::string>("");
}

class InputReader {
 public:
  explicit InputReader(std::vector<Message>* messages) : messages_(messages) {}

  void ReadItem(const Field& item) {
    Fields fields = item.Object();
    const Field type = fields["type"];
    const std::string_view name = type.String().value_or("message");
    (void)fields["id"].String(kIdBytes);
    (void)fields["status"].String();
    if (name == "message") {
      ReadMessage(fields);
    } else if (name == "function_call") {
      ReadCall(fields);
    } else if (name == "function_call_output") {
      ReadCallOutput(fields);
    } else if (name == "reasoning") {
      ReadReasoning(fields);
    } else if (name == "item_reference") {
      type.FailUnsupported("this server keeps nothing: send the item itself");
    } else {
      type.FailUnsupported(
          "items of type 'message', 'function_call', 'function_call_output' and 'reasoning' are");
    }
    fields.NoteUnknown();
  }

 private:
  void ReadMessage(Fields& fields) {
    constexpr std::string_view kRoleNames[] = {"system", "user", "assistant", "developer"};
    const auto role =
        fields.Required("role").OneOf({kRoleNames[0], kRoleNames[1], kRoleNames[2], kRoleNames[3]});
    auto text = ReadParts(fields.Required("content"));
    (void)fields["phase"].String();
    if (!role || !text) return;
    if (*role == 2) {
      AppendPart(Assistant().content, *text);
      return;
    }
    const std::string_view name = *role == 3 ? kRoleNames[0] : kRoleNames[*role];
    messages_->push_back({.role = std::string(name), .content = std::move(text)});
    in_assistant_ = false;
  }

  void ReadCall(Fields& fields) {
    ToolCall call;
    call.id = fields.Required("call_id").String(kIdBytes).value_or("");
    call.name = fields.Required("name").String(kIdBytes).value_or("");
    call.arguments = fields.Required("arguments").String().value_or("");
    Assistant().tool_calls.push_back(std::move(call));
  }

  void ReadCallOutput(Fields& fields) {
    Message result{.role = "tool"};
    const Field id = fields.Required("call_id");
    result.tool_call_id = id.String(kIdBytes).value_or("");
    result.content = ReadParts(fields.Required("output"));
    result.name = NameOfCall(result.tool_call_id);
    if (id.is_string() && result.name.empty()) {
      id.Fail("invalid_value", "is that of no 'function_call' item before it");
    }
    messages_->push_back(std::move(result));
    in_assistant_ = false;
  }

  void ReadReasoning(Fields& fields) {
    std::optional<std::string> text;
    for (const Field& item : fields["content"].Array({.most = kPartsMost})) {
      AppendPart(text, item.Object().Required("text").String().value_or(""));
    }
    std::optional<std::string> summary;
    for (const Field& item : fields["summary"].Array({.most = kPartsMost})) {
      AppendPart(summary, item.Object().Required("text").String().value_or(""));
    }
    (void)fields["encrypted_content"].String();  // another server's, which nobody here can read
    const std::string reasoning = text.value_or(summary.value_or(""));
    if (!reasoning.empty()) Assistant().reasoning += reasoning;
  }

  Message& Assistant() {
    if (!in_assistant_) messages_->push_back({.role = "assistant"});
    in_assistant_ = true;
    return messages_->back();
  }

  [[nodiscard]] std::string NameOfCall(std::string_view id) const {
    for (auto message = messages_->rbegin(); message != messages_->rend(); ++message) {
      for (const ToolCall& call : message->tool_calls) {
        if (call.id == id) return call.name;
      }
    }
    return "";
  }

  std::vector<Message>* messages_;
  bool in_assistant_ = false;  // the last message is the assistant's, and goes on
};

}  // namespace

std::vector<Message> ReadInput(Fields& fields) {
  std::vector<Message> messages;
  if (const auto instructions = fields["instructions"].String()) {
    messages.push_back({.role = "system", .content = std::string(*instructions)});
  }
  const Field input = fields.Required("input");
  if (input.is_array()) {
    InputReader reader(&messages);
    for (const Field& item : input.Array({.least = 1, .most = kMessagesMost})) {
      reader.ReadItem(item);
    }
  } else if (const auto text = input.String()) {
    messages.push_back({.role = "user", .content = std::string(*text)});
  }
  return messages;
}

}  // namespace plimsoll::server::api::responses
