// The replies of /v1/chat/completions, whole and as a stream of chunks.
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "server/api/openai/replies.h"
#include "server/api/openai/reply_parts.h"

namespace plimsoll::server::api::openai {
namespace {

constexpr std::string_view kChatPrefix = "chatcmpl-";

// Both names: some clients read the one, some the other.
void WriteReasoning(std::string_view text, JsonText& json) {
  json.Key("reasoning_content").String(text).Key("reasoning").String(text);
}

class ChatStream final : public ReplyWriter {
 public:
  ChatStream(ReplyIdentity identity, ReplyOptions options)
      : identity_(std::move(identity)), options_(options) {}

  [[nodiscard]] std::string content_type() const override { return "text/event-stream"; }
  [[nodiscard]] std::string keep_alive() const override { return ": ping\n\n"; }

  [[nodiscard]] std::string Start() override {
    begun_ = true;
    std::string out;
    for (uint32_t choice = 0; choice < options_.n_choices; ++choice) {
      out += Chunk(choice, [](JsonText& delta) {
        delta.Key("role").String("assistant").Key("content").String("");
      });
    }
    return out;
  }

  [[nodiscard]] std::string Write(const Event& event) override {
    return std::visit([this](const auto& e) { return On(e); }, event);
  }

 private:
  std::string On(const TextEvent& event) {
    if (event.text.empty() && event.tokens.empty()) return "";
    return Chunk(
        event.choice, [&](JsonText& delta) { delta.Key("content").String(event.text); },
        event.tokens);
  }
  std::string On(const ReasoningEvent& event) {
    if (event.text.empty()) return "";
    return Chunk(event.choice, [&](JsonText& delta) { WriteReasoning(event.text, delta); });
  }
  std::string On(const ToolCallBegin& event) {
    return Chunk(event.choice, [&](JsonText& delta) {
      delta.Key("tool_calls").BeginArray().BeginObject().Key("index").Number(event.index);
      delta.Key("id").String(event.id).Key("type").String("function");
      delta.Key("function").BeginObject().Key("name").String(event.name);
      delta.Key("arguments").String("").EndObject().EndObject().EndArray();
    });
  }
  std::string On(const ToolCallArguments& event) {
    if (event.text.empty()) return "";
    return Chunk(event.choice, [&](JsonText& delta) {
      delta.Key("tool_calls").BeginArray().BeginObject().Key("index").Number(event.index);
      delta.Key("function").BeginObject().Key("arguments").String(event.text).EndObject();
      delta.EndObject().EndArray();
    });
  }
  std::string On(const ToolCallEnd&) { return ""; }
  std::string On(const ChoiceEnd& event) {
    return Chunk(
        event.choice, [](JsonText&) {}, {}, FinishName(event.finish));
  }
  std::string On(const PromptProgress& progress) {
    JsonText json = Open();
    WriteChoice(
        json, 0, [](JsonText&) {}, {}, "");
    json.EndArray();
    WriteNoUsage(json);
    json.Key("prompt_progress").BeginObject().Key("total").Number(progress.n_total);
    json.Key("cache").Number(progress.n_cached).Key("processed").Number(progress.n_processed);
    json.Key("time_ms").Number(static_cast<int64_t>(progress.seconds * 1e3)).EndObject();
    return ServerEvent(json.EndObject().text());
  }
  std::string On(const TaskEnd& end) {
    std::string out;
    if (options_.include_usage || options_.timings) {
      JsonText json = Open();
      json.EndArray();
      if (options_.include_usage) {
        json.Key("usage");
        WriteUsage(end.usage, json);
      }
      if (options_.timings) {
        json.Key("timings");
        WriteTimings(end.usage, json);
      }
      out = ServerEvent(json.EndObject().text());
    }
    return out += kDone;
  }
  // The connection is reset behind it, so no [DONE].
  std::string On(const TaskFailed& failed) {
    std::string body = ErrorBody(failed.error);
    return begun_ ? ServerEvent(body) : body;
  }

  // A chunk up to its choices.
  JsonText Open() {
    JsonText json;
    json.BeginObject();
    WriteIdentity(identity_, kChatPrefix, "chat.completion.chunk", json);
    json.Key("choices").BeginArray();
    return json;
  }

  template <class WriteDelta>
  void WriteChoice(JsonText& json, uint32_t choice, WriteDelta write_delta,
                   std::span<const TokenReport> tokens, std::string_view finish) {
    json.BeginObject().Key("index").Number(choice).Key("delta").BeginObject();
    write_delta(json);
    json.EndObject().Key("logprobs");
    if (tokens.empty()) {
      json.Null();
    } else {
      json.BeginObject().Key("content").BeginArray();
      WriteChatLogprobs(tokens, json);
      json.EndArray().Key("refusal").Null().EndObject();
    }
    json.Key("finish_reason");
    finish.empty() ? json.Null() : json.String(finish);
    json.EndObject();
  }

  void WriteNoUsage(JsonText& json) const {
    if (options_.include_usage) json.Key("usage").Null();
  }

  template <class WriteDelta>
  std::string Chunk(uint32_t choice, WriteDelta write_delta,
                    std::span<const TokenReport> tokens = {}, std::string_view finish = "") {
    JsonText json = Open();
    WriteChoice(json, choice, write_delta, tokens, finish);
    json.EndArray();
    WriteNoUsage(json);
    return ServerEvent(json.EndObject().text());
  }

  ReplyIdentity identity_;
  ReplyOptions options_;
  bool begun_ = false;  // before, a failure is a body
};

class ChatWhole final : public ReplyWriter {
 public:
  ChatWhole(ReplyIdentity identity, ReplyOptions options)
      : identity_(std::move(identity)), options_(options), choices_(options.n_choices) {}

  [[nodiscard]] std::string content_type() const override { return "application/json"; }
  [[nodiscard]] std::string keep_alive() const override { return " "; }
  [[nodiscard]] std::string Write(const Event& event) override {
    return std::visit([this](const auto& e) { return On(e); }, event);
  }

 private:
  struct Choice {
    std::string content;
    std::string reasoning;
    std::vector<TokenReport> tokens;
    std::vector<ToolCall> calls;
    Finish finish = Finish::kStop;
  };

  std::string On(const TextEvent& event) {
    Choice& choice = At(event.choice);
    choice.content += event.text;
    choice.tokens.insert(choice.tokens.end(), event.tokens.begin(), event.tokens.end());
    return "";
  }
  std::string On(const ReasoningEvent& event) {
    At(event.choice).reasoning += event.text;
    return "";
  }
  std::string On(const ToolCallBegin& event) {
    At(event.choice).calls.push_back({.id = event.id, .name = event.name});
    return "";
  }
  std::string On(const ToolCallArguments& event) {
    std::vector<ToolCall>& calls = At(event.choice).calls;
    if (event.index < calls.size()) calls[event.index].arguments += event.text;
    return "";
  }
  std::string On(const ToolCallEnd&) { return ""; }
  std::string On(const ChoiceEnd& event) {
    At(event.choice).finish = event.finish;
    return "";
  }
  std::string On(const PromptProgress&) { return ""; }
  std::string On(const TaskFailed& failed) { return ErrorBody(failed.error); }
  std::string On(const TaskEnd& end) {
    JsonText json;
    json.BeginObject();
    WriteIdentity(identity_, kChatPrefix, "chat.completion", json);
    json.Key("choices").BeginArray();
    for (size_t i = 0; i < choices_.size(); ++i) WriteChoice(json, i, choices_[i]);
    json.EndArray().Key("usage");
    WriteUsage(end.usage, json);
    if (options_.timings) {
      json.Key("timings");
      WriteTimings(end.usage, json);
    }
    return json.EndObject().text();
  }

  void WriteChoice(JsonText& json, size_t index, const Choice& choice) const {
    json.BeginObject().Key("index").Number(index).Key("message").BeginObject();
    json.Key("role").String("assistant").Key("content");
    const bool only_calls = choice.content.empty() && !choice.calls.empty();
    only_calls ? json.Null() : json.String(choice.content);
    json.Key("refusal").Null();
    if (!choice.reasoning.empty()) WriteReasoning(choice.reasoning, json);
    if (!choice.calls.empty()) WriteCalls(json, choice.calls);
    json.EndObject().Key("logprobs");
    if (options_.logprobs) {
      json.BeginObject().Key("content").BeginArray();
      WriteChatLogprobs(choice.tokens, json);
      json.EndArray().Key("refusal").Null().EndObject();
    } else {
      json.Null();
    }
    json.Key("finish_reason").String(FinishName(choice.finish)).EndObject();
  }

  static void WriteCalls(JsonText& json, const std::vector<ToolCall>& calls) {
    json.Key("tool_calls").BeginArray();
    for (const ToolCall& call : calls) {
      json.BeginObject().Key("id").String(call.id).Key("type").String("function");
      json.Key("function").BeginObject().Key("name").String(call.name);
      json.Key("arguments").String(call.arguments).EndObject().EndObject();
    }
    json.EndArray();
  }

  // One more than were asked for is no reason to write beyond them.
  Choice& At(uint32_t choice) {
    if (choice >= choices_.size()) choices_.resize(size_t{choice} + 1);
    return choices_[choice];
  }

  ReplyIdentity identity_;
  ReplyOptions options_;
  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<ReplyWriter> MakeChatReply(const ReplyIdentity& identity,
                                           const ReplyOptions& options) {
  if (options.stream) return std::make_unique<ChatStream>(identity, options);
  return std::make_unique<ChatWhole>(identity, options);
}

}  // namespace plimsoll::server::api::openai
