#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/json_text.h"
#include "server/api/output/json_scan.h"
#include "server/api/output/output_format.h"
#include "server/api/output/value_json.h"
#include "text/jinja/value.h"

namespace plimsoll::server::api::output {
namespace {

// Something that is JSON already, or else as a string.
std::string JsonOr(std::string_view text) {
  return IsJson(text, false) ? std::string(text) : QuoteJson(text);
}

std::string CallText(const ToolCall& call) {
  return fmt::format("<tool_call>\n{{\"name\": {}, \"arguments\": {}}}\n</tool_call>",
                     QuoteJson(call.name), call.arguments.empty() ? "{}" : JsonOr(call.arguments));
}

// As the model itself writes it.
std::string CallText(const ToolCall& call, const CallSpelling& spelling) {
  return fmt::format("{}{}{}{}{}", spelling.opening, call.name, spelling.bridge,
                     call.arguments.empty() ? "{}" : JsonOr(call.arguments), spelling.closing);
}

// The functions that the tools are, as a list.
std::string FunctionsJson(std::span<const Tool> tools) {
  std::string text = "[";
  for (const Tool& tool : tools) {
    JsonText json;
    WriteTemplateValue(tool.definition.Get("function"), json);
    text += fmt::format("{}{}", text.size() > 1 ? ", " : "", json.text());
  }
  return text + "]";
}

// A call or a result becomes a part of a plain message.
Message PlainMessage(Message message) {
  if (message.role == "tool") {
    message.role = "user";
    message.content =
        fmt::format("<tool_response>\n{}\n</tool_response>", message.content.value_or(""));
  }
  for (const ToolCall& call : message.tool_calls) {
    std::string& content = message.content.emplace(message.content.value_or(""));
    if (!content.empty()) content += '\n';
    content += CallText(call);
  }
  message.tool_calls.clear();
  message.tool_call_id.clear();
  return message;
}

std::string NameOfCall(const Message& message, const std::string& id) {
  const auto call = std::ranges::find(message.tool_calls, id, &ToolCall::id);
  return call == message.tool_calls.end() ? "" : call->name;
}

// Results go to the message before them, with their calls.
std::vector<Message> WithResultsInCalls(std::vector<Message> messages) {
  std::vector<Message> joined;
  for (Message& message : messages) {
    const bool has_calls = !joined.empty() && !joined.back().tool_calls.empty();
    if (message.role == "tool" && has_calls) {
      joined.back().tool_results.push_back({NameOfCall(joined.back(), message.tool_call_id),
                                            std::move(message.content).value_or("")});
    } else {
      joined.push_back(std::move(message));
    }
  }
  return joined;
}

}  // namespace

std::string GenericToolPrompt(std::span<const Tool> tools, const ToolChoice& choice,
                              bool parallel) {
  std::string prompt =
      "You can call functions. These are their signatures, one JSON object a line:\n<tools>\n";
  for (const Tool& tool : tools) {
    JsonText json;
    WriteTemplateValue(tool.definition, json);
    prompt += json.text() + "\n";
  }
  prompt +=
      "</tools>\nTo call one, answer with its name and its arguments as a JSON object between "
      "these tags:\n<tool_call>\n{\"name\": \"the name\", \"arguments\": {}}\n</tool_call>\n";
  prompt += parallel ? "Several calls may follow each other, each in tags of its own.\n"
                     : "Make one call at a time.\n";
  prompt += "The result comes back between <tool_response> tags.";
  if (choice.kind == ToolChoice::Kind::kRequired) prompt += "\nYou must call a function now.";
  if (choice.kind == ToolChoice::Kind::kNamed) {
    prompt += fmt::format("\nYou must call {} now.", choice.name);
  }
  return prompt;
}

Conversation ForTemplate(Conversation conversation, const OutputFormat& format) {
  const bool offers =
      !conversation.tools.empty() && conversation.tool_choice.kind != ToolChoice::Kind::kNone;
  std::vector<Message>& messages = conversation.messages;
  if (offers && format.tools_in_system) {
    if (messages.empty() || messages[0].role != "system") {
      messages.insert(messages.begin(), {.role = "system", .content = ""});
    }
    messages[0].tools = FunctionsJson(conversation.tools);
  }
  if (format.results_in_calls) {
    messages = WithResultsInCalls(std::move(messages));
  }
  for (Message& message : messages) {
    for (const ToolCall& call : message.tool_calls) {
      if (format.template_has_calls) break;
      std::string& content = message.content.emplace(message.content.value_or(""));
      content += CallText(call, SpellCall(format.tools));
    }
  }
  return conversation;
}

Conversation WithGenericTools(Conversation conversation) {
  std::vector<Message> messages;
  if (!conversation.tools.empty() && conversation.tool_choice.kind != ToolChoice::Kind::kNone) {
    messages.push_back({.role = "system",
                        .content = GenericToolPrompt(conversation.tools, conversation.tool_choice,
                                                     conversation.parallel_tool_calls)});
  }
  for (Message& message : conversation.messages) {
    Message plain = PlainMessage(std::move(message));
    // Templates want one system message, and turns that take turns.
    const bool is_system = plain.role == "system" && messages.size() == 1;
    const bool joins = !messages.empty() && messages.back().role == plain.role &&
                       (plain.role == "user" || is_system);
    if (joins) {
      messages.back().content = fmt::format("{}\n{}{}", messages.back().content.value_or(""),
                                            is_system ? "\n" : "", plain.content.value_or(""));
    } else {
      messages.push_back(std::move(plain));
    }
  }
  conversation.messages = std::move(messages);
  conversation.tools.clear();
  conversation.tool_choice = {};
  return conversation;
}

}  // namespace plimsoll::server::api::output
