// What becomes of a task, told step by step, and the dialects that write it down.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json_text.h"
#include "server/api/api_error.h"

namespace plimsoll::server::api {

struct TokenText {
  std::string text;  // the token's bytes; may be half a character
  float logprob = 0;
};

struct TokenReport {
  TokenText token;
  std::vector<TokenText> top;
};

enum class Finish { kStop, kStopString, kLength, kToolCalls };

struct Usage {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;  // of these
  uint32_t completion_tokens = 0;
  uint32_t reasoning_tokens = 0;  // of these
  // Of the whole task, in seconds.
  double queue_seconds = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  double total_seconds = 0;
  // What keys and values were kept in, where that is not F16 throughout; else empty.
  std::string kv_type;
  // Which of them stay, where not all do; else empty.
  std::string kv_policy;
};

// The member "plimsoll" of a usage: how the answer may differ from the engine's own. Nothing where
// it does not.
inline void WriteLosses(const Usage& usage, JsonText& json) {
  if (usage.kv_type.empty() && usage.kv_policy.empty()) {
    return;
  }
  json.Key("plimsoll").BeginObject();
  if (!usage.kv_type.empty()) {
    json.Key("kv_type").String(usage.kv_type);
  }
  if (!usage.kv_policy.empty()) {
    json.Key("kv_policy").String(usage.kv_policy);
  }
  json.EndObject();
}

// In the order in which they come. Of one choice: texts, reasoning and tool calls, then its end.
// The task's last event is TaskEnd, or TaskFailed at any time.
struct TextEvent {
  uint32_t choice = 0;
  std::string text;                 // valid UTF-8; may be empty when there are only tokens
  std::vector<TokenReport> tokens;  // when logprobs were asked for
};
struct ReasoningEvent {
  uint32_t choice = 0;
  std::string text;
  std::vector<TokenReport> tokens;
};
struct ToolCallBegin {
  uint32_t choice = 0;
  uint32_t index = 0;  // of the call, ascending from 0 in each choice
  std::string id;
  std::string name;
};
struct ToolCallArguments {
  uint32_t choice = 0;
  uint32_t index = 0;
  std::string text;  // a further part of the arguments' JSON
};
struct ToolCallEnd {
  uint32_t choice = 0;
  uint32_t index = 0;
};
struct ChoiceEnd {
  uint32_t choice = 0;
  Finish finish = Finish::kStop;
  std::string stop_string;  // with kStopString
};
struct PromptProgress {
  uint32_t n_total = 0;
  uint32_t n_cached = 0;
  uint32_t n_processed = 0;
  double seconds = 0;
};
struct TaskEnd {
  Usage usage;
};
struct TaskFailed {
  ApiError error;
};

using Event = std::variant<TextEvent, ReasoningEvent, ToolCallBegin, ToolCallArguments, ToolCallEnd,
                           ChoiceEnd, PromptProgress, TaskEnd, TaskFailed>;

// What a dialect says of one task, from its first event to its last. Made for each request by the
// dialect, knowing the request's fields that matter. For one thread at a time; never throws.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;

  [[nodiscard]] virtual std::string content_type() const = 0;  // of the response
  // What keeps a silent connection alive: ": ping\n\n", " " or nothing.
  [[nodiscard]] virtual std::string keep_alive() const = 0;
  // Of a stream: what is sent before any event. Of a whole reply: nothing.
  [[nodiscard]] virtual std::string Start() { return {}; }
  // What is sent for an event; mostly nothing for a reply that is not streamed, whose body comes
  // with TaskEnd. TaskFailed gives the dialect's error object: as a part of the stream once Start
  // was called, else as a body.
  [[nodiscard]] virtual std::string Write(const Event& event) = 0;
};

}  // namespace plimsoll::server::api
