// What a request for text comes to, whatever dialect it was written in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "engine/engine.h"
#include "text/jinja/value.h"

namespace plimsoll::server::api {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text, as the model wrote it
};

// The result of a call of the tool `name`.
struct ToolResult {
  std::string name;
  std::string content;
};

struct Message {
  std::string role;  // "system", "user", "assistant", "tool" ("developer" is read as "system")
  std::optional<std::string> content;
  std::string reasoning;             // of an assistant's message
  std::vector<ToolCall> tool_calls;  // of an assistant's message
  std::string tool_call_id;          // of a tool's message
  std::string name;
  std::string tools;  // as JSON, where a template takes them from the system message
  // What the calls gave, where a template takes it from the message with them.
  std::vector<ToolResult> tool_results;
};

struct Tool {
  std::string name;
  // {"type": "function", "function": {"name": ..., "description": ..., "parameters": {...}}}: what
  // templates expect, whatever the dialect.
  text::jinja::Value definition;
};

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name;  // with kNamed
};

struct Conversation {
  std::vector<Message> messages;
  std::vector<Tool> tools;
  ToolChoice tool_choice;
  bool parallel_tool_calls = true;
  // Passed on to the template: chat_template_kwargs, enable_thinking, reasoning_effort.
  std::vector<text::jinja::Member> template_arguments;
};

// A text to go on with, as it is: /v1/completions.
struct PlainPrompt {
  std::variant<std::string, std::vector<TokenId>> text;
  bool echo = false;
};

// What an answer has to be. Of a conversation: what stands behind its reasoning and is no call.
struct Constraint {
  enum class Kind { kJsonObject, kJsonSchema, kRegex, kGbnf, kChoice };
  static constexpr uint64_t kMaxBytes = 1 << 20;  // of text; what compiles it allows less of some
  Kind kind = Kind::kJsonObject;
  std::string source;                // the schema, the expression or the grammar
  std::vector<std::string> choices;  // the texts of kChoice
  std::string param;                 // the request's member, for errors
};

struct Task {
  std::string model;  // as the client named it; "": the only one, or the first
  // One conversation, or one or several prompts (each makes `n` choices, numbered through).
  std::variant<Conversation, std::vector<PlainPrompt>> input;
  engine::GenerateOptions options;  // n_predict 0: as long as the context allows
  std::optional<Constraint> constraint;
  bool seed_given = false;  // else each choice draws a seed of its own
  uint32_t n = 1;           // choices
  std::optional<uint32_t> n_top_logprobs;
  bool stream = false;
  int32_t priority = 0;  // of the order "priority": the lowest first
  // In each chunk of the prompt's way through the model a report (llama-server's return_progress).
  bool report_progress = false;
  // Shares keys and values of its prompt only with tasks that have the same one (vLLM).
  std::string cache_salt;
  // Which of its keys and values stay; nothing: as the server says.
  std::optional<kv::policy::PolicyOptions> kv_policy;
};

}  // namespace plimsoll::server::api
