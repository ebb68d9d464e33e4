#include "server/api/render.h"

#include <algorithm>
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

bool HasPart(const Message& message, const std::string& part) {
  const auto is_in = [&](const ToolResult& result) {
    return result.content.find(part) != std::string::npos;
  };
  return (message.content && message.content->find(part) != std::string::npos) ||
         std::ranges::any_of(message.tool_results, is_in);
}

// A character that no message has; Unicode will never give it a meaning.
std::string ChooseMark(const Conversation& conversation) {
  std::string mark;
  const auto has_mark = [&](const Message& message) { return HasPart(message, mark); };
  uint32_t n = 0;
  do {
    // U+FDD0 to U+FDEF, as often as it takes.
    mark += {'\xef', '\xb7', static_cast<char>(0x90 + n % 32)};
    ++n;
  } while (std::ranges::any_of(conversation.messages, has_mark));
  return mark;
}

// What others than the program's author and the model have written.
bool IsForeign(const Message& message) { return message.role == "user" || message.role == "tool"; }

Conversation WithBrokenSpecials(const text::Tokenizer& tokenizer, Conversation conversation,
                                std::string_view mark) {
  for (Message& message : conversation.messages) {
    if (IsForeign(message) && message.content) {
      message.content = tokenizer.BreakSpecial(*message.content, mark);
    }
    for (ToolResult& result : message.tool_results) {
      result.content = tokenizer.BreakSpecial(result.content, mark);
    }
  }
  return conversation;
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
  if (!message.tools.empty()) {
    members.emplace_back("tools", message.tools);
  }
  if (!message.tool_results.empty()) {
    std::vector<Value> results;
    for (const ToolResult& result : message.tool_results) {
      results.push_back(
          Value::Object({{"name", result.name}, {"response", TemplateArguments(result.content)}}));
    }
    members.emplace_back("tool_responses", Value::List(std::move(results)));
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

std::string RenderedPrompt::WithoutMarks() const {
  std::string plain = text;
  for (size_t at = plain.find(mark); at != std::string::npos; at = plain.find(mark, at)) {
    plain.erase(at, mark.size());
  }
  return plain;
}

ApiResult<RenderedPrompt> RenderConversation(const engine::Service& service,
                                             const Conversation& asked) {
  const auto chat_template = service.chat_template();
  if (!chat_template) {
    return tl::make_unexpected(ApiError{
        .status = 500,
        .message = "the model's chat template cannot be used: " + chat_template.error().message,
        .type = "server_error",
        .code = "bad_chat_template",
        .may_retry = false});
  }
  const std::string mark = ChooseMark(asked);
  const Conversation conversation = WithBrokenSpecials(service.tokenizer(), asked, mark);
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
  return RenderedPrompt{.text = *std::move(prompt), .mark = mark};
}

}  // namespace plimsoll::server::api
