#include "server/api/render.h"

#include <utility>
#include <vector>

#include "engine/chat.h"

namespace plimsoll::server::api {
namespace {

using text::jinja::Member;
using text::jinja::Value;

// Templates expect the arguments as an object; what is no JSON stays a text.
Value TemplateArguments(const std::string& json) {
  auto parsed = text::jinja::ParseJson(json);
  return parsed ? std::move(*parsed) : Value(json);
}

Value TemplateCall(const ToolCall& call) {
  return Value::Object(
      {{"id", call.id},
       {"type", "function"},
       {"function",
        Value::Object({{"name", call.name}, {"arguments", TemplateArguments(call.arguments)}})}});
}

Value TemplateMessage(const Message& message) {
  std::vector<Member> members = {{"role", message.role}};
  // A message that only calls tools has no content of its own; templates that add strings want one.
  members.emplace_back("content", message.content.value_or(""));
  if (!message.reasoning.empty()) {
    members.emplace_back("reasoning_content", message.reasoning);
  }
  if (!message.tool_calls.empty()) {
    std::vector<Value> calls;
    for (const ToolCall& call : message.tool_calls) {
      calls.push_back(TemplateCall(call));
    }
    members.emplace_back("tool_calls", Value::List(std::move(calls)));
  }
  if (!message.tool_call_id.empty()) {
    members.emplace_back("tool_call_id", message.tool_call_id);
  }
  if (!message.name.empty()) {
    members.emplace_back("name", message.name);
  }
  return Value::Object(std::move(members));
}

std::vector<engine::ChatMessage> PlainMessages(const Conversation& conversation) {
  std::vector<engine::ChatMessage> messages;
  for (const Message& message : conversation.messages) {
    messages.push_back({message.role, message.content.value_or("")});
  }
  return messages;
}

std::vector<Member> ArgumentsOf(const Conversation& conversation) {
  std::vector<Member> arguments = conversation.template_arguments;
  if (!conversation.tools.empty() && conversation.tool_choice.kind != ToolChoice::Kind::kNone) {
    std::vector<Value> tools;
    for (const Tool& tool : conversation.tools) {
      tools.push_back(tool.definition);
    }
    arguments.emplace_back("tools", Value::List(std::move(tools)));
  }
  return arguments;
}

}  // namespace

ApiResult<std::string> RenderConversation(const engine::Service& service,
                                          const Conversation& conversation) {
  const auto chat_template = service.chat_template();
  if (!chat_template) {
    return tl::make_unexpected(ApiError{
        .status = 500,
        .message = "the model's chat template cannot be used: " + chat_template.error().message,
        .type = "server_error",
        .code = "bad_chat_template",
        .may_retry = false});
  }
  Result<std::string> prompt;
  if (*chat_template == nullptr) {
    prompt = engine::RenderChat(nullptr, service.tokenizer(), PlainMessages(conversation));
  } else {
    std::vector<Value> messages;
    for (const Message& message : conversation.messages) {
      messages.push_back(TemplateMessage(message));
    }
    prompt = engine::RenderMessages(**chat_template, service.tokenizer(),
                                    Value::List(std::move(messages)), ArgumentsOf(conversation));
  }
  if (!prompt) {
    return tl::make_unexpected(ApiError{
        .message = "the model's chat template refuses the conversation: " + prompt.error().message,
        .code = "template_error",
        .param = "messages"});
  }
  return *std::move(prompt);
}

}  // namespace plimsoll::server::api
