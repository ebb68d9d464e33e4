#include "server/api/ollama/replies.h"

#include <ctime>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/json_text.h"
#include "server/api/retry_headers.h"
#include "server/api/tool_arguments.h"

namespace plimsoll::server::api::ollama {
namespace {

using Kind = ReplyOptions::Kind;

int64_t Nanoseconds(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

void WriteTokenText(JsonText& json, const TokenText& token) {
  json.Key("token").String(token.text).Key("logprob").Number(token.logprob);
  json.Key("bytes").BeginArray();
  for (const char c : token.text) json.Number(static_cast<unsigned>(static_cast<unsigned char>(c)));
  json.EndArray();
}

void WriteLogprobs(JsonText& json, const std::vector<TokenReport>& tokens) {
  json.Key("logprobs").BeginArray();
  for (const TokenReport& report : tokens) {
    json.BeginObject();
    WriteTokenText(json, report.token);
    json.Key("top_logprobs").BeginArray();
    for (const TokenText& other : report.top) {
      json.BeginObject();
      WriteTokenText(json, other);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
}

// What a line, or the whole reply, says.
struct Answer {
  struct Call {
    uint32_t index = 0;
    std::string id;
    std::string name;
    std::string arguments;
  };
  std::string content;
  std::string thinking;
  std::vector<Call> calls;
  std::vector<TokenReport> tokens;
};

void WriteCall(JsonText& json, const Answer::Call& call) {
  json.BeginObject().Key("id").String(call.id).Key("function").BeginObject();
  json.Key("index").Number(call.index).Key("name").String(call.name);
  json.Key("arguments").Raw(ArgumentsObject(call.arguments)).EndObject().EndObject();
}

void WriteAnswer(JsonText& json, std::string_view model, const ReplyOptions& options,
                 const Answer& answer) {
  json.Key("model").String(model).Key("created_at").String(TimeText(options.now()));
  const bool chat = options.kind == Kind::kChat;
  if (chat) json.Key("message").BeginObject().Key("role").String("assistant");
  json.Key(chat ? "content" : "response").String(answer.content);
  if (!answer.thinking.empty()) json.Key("thinking").String(answer.thinking);
  if (!answer.calls.empty()) {
    json.Key("tool_calls").BeginArray();
    for (const Answer::Call& call : answer.calls) WriteCall(json, call);
    json.EndArray();
  }
  if (chat) json.EndObject();
  if (options.logprobs && !answer.tokens.empty()) WriteLogprobs(json, answer.tokens);
}

void WriteDone(JsonText& json, std::string_view reason, const Usage& usage) {
  json.Key("done").Bool(true).Key("done_reason").String(reason);
  json.Key("total_duration").Number(Nanoseconds(usage.total_seconds));
  json.Key("load_duration").Number(0);
  json.Key("prompt_eval_count").Number(usage.prompt_tokens);
  json.Key("prompt_eval_duration").Number(Nanoseconds(usage.prefill_seconds));
  json.Key("eval_count").Number(usage.completion_tokens);
  json.Key("eval_duration").Number(Nanoseconds(usage.decode_seconds));
  WriteLosses(usage, json);
}

// Gathers events until there is something to say: with each event in a stream, at the end
// otherwise. A tool call is said as a whole.
class OllamaWriter final : public ReplyWriter {
 public:
  OllamaWriter(const ReplyIdentity& identity, ReplyOptions options)
      : model_(identity.model), options_(std::move(options)) {}

  [[nodiscard]] std::string content_type() const override {
    return options_.stream ? "application/x-ndjson" : "application/json";
  }
  [[nodiscard]] std::string keep_alive() const override { return " "; }

  [[nodiscard]] std::string Write(const Event& event) override {
    if (const auto* failed = std::get_if<TaskFailed>(&event)) {
      return ErrorBody(failed->error) + "\n";
    }
    if (const auto* end = std::get_if<TaskEnd>(&event)) return End(end->usage);
    const bool complete = std::visit([this](const auto& e) { return Add(e); }, event);
    return complete && options_.stream ? Line() : std::string();
  }

 private:
  // Each: whether a line is due.
  bool Add(const TextEvent& event) {
    answer_.content += event.text;
    AddTokens(event.tokens);
    return !event.text.empty() || !answer_.tokens.empty();
  }
  bool Add(const ReasoningEvent& event) {
    answer_.thinking += event.text;
    AddTokens(event.tokens);
    return !event.text.empty() || !answer_.tokens.empty();
  }
  bool Add(const ToolCallBegin& event) {
    call_ = {event.index, event.id, event.name, ""};
    return false;
  }
  bool Add(const ToolCallArguments& event) {
    call_.arguments += event.text;
    return false;
  }
  bool Add(const ToolCallEnd&) {
    answer_.calls.push_back(std::exchange(call_, {}));
    return true;
  }
  bool Add(const ChoiceEnd& event) {
    finish_ = event.finish;
    return false;
  }
  bool Add(const PromptProgress&) { return false; }
  bool Add(const TaskEnd&) { return false; }
  bool Add(const TaskFailed&) { return false; }

  void AddTokens(const std::vector<TokenReport>& tokens) {
    if (!options_.logprobs) return;
    answer_.tokens.insert(answer_.tokens.end(), tokens.begin(), tokens.end());
  }

  std::string Line() {
    JsonText json;
    json.BeginObject();
    WriteAnswer(json, model_, options_, std::exchange(answer_, {}));
    json.Key("done").Bool(false).EndObject();
    return json.text() + "\n";
  }

  std::string End(const Usage& usage) {
    JsonText json;
    json.BeginObject();
    WriteAnswer(json, model_, options_, answer_);
    WriteDone(json, finish_ == Finish::kLength ? "length" : "stop", usage);
    json.EndObject();
    return json.text() + "\n";
  }

  std::string model_;
  ReplyOptions options_;
  Answer answer_;  // what has not been said yet
  Answer::Call call_;
  Finish finish_ = Finish::kStop;
};

}  // namespace

std::unique_ptr<ReplyWriter> MakeReply(const ReplyIdentity& identity, const ReplyOptions& options) {
  return std::make_unique<OllamaWriter>(identity, options);
}

std::string LoadedBody(std::string_view model, const ReplyOptions& options, bool unload) {
  JsonText json;
  json.BeginObject();
  WriteAnswer(json, model, options, {});
  json.Key("done").Bool(true).Key("done_reason").String(unload ? "unload" : "load").EndObject();
  return json.text() + "\n";
}

std::string ErrorBody(const ApiError& error) {
  return JsonText().BeginObject().Key("error").String(error.message).EndObject().text();
}

http::Response ErrorResponse(const ApiError& error) {
  return {.status = error.status,
          .content_type = "application/json",
          .body = ErrorBody(error),
          .headers = RetryHeaders(error)};
}

std::string TimeText(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t seconds = std::chrono::system_clock::to_time_t(whole);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(time - whole);
  return fmt::format("{}.{:09}Z", std::string_view(text, length), rest.count());
}

}  // namespace plimsoll::server::api::ollama
