#include "server/api/anthropic/replies.h"

#include <utility>
#include <vector>

#include "base/json_text.h"
#include "server/api/named_event.h"
#include "server/api/retry_headers.h"
#include "server/api/tool_arguments.h"

namespace plimsoll::server::api::anthropic {
namespace {

std::string_view ErrorType(unsigned status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
    case 405:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

// The usage of a message: tokens that were in the cache are counted apart from the others.
void WriteMessageUsage(JsonText& json, const Usage& usage) {
  json.BeginObject();
  json.Key("input_tokens").Number(usage.prompt_tokens - usage.cached_tokens);
  json.Key("cache_creation_input_tokens").Number(0);
  json.Key("cache_read_input_tokens").Number(usage.cached_tokens);
  json.Key("output_tokens").Number(usage.completion_tokens);
  WriteLosses(usage, json);
  json.EndObject();
}

// How the message ended, as far as that is known.
struct MessageEnd {
  Finish finish = Finish::kStop;
  std::string stop_string;

  [[nodiscard]] std::string_view Reason(const Usage& usage, uint32_t max_tokens) const {
    switch (finish) {
      case Finish::kStop:
        return "end_turn";
      case Finish::kStopString:
        return "stop_sequence";
      case Finish::kToolCalls:
        return "tool_use";
      case Finish::kLength:
        break;
    }
    return usage.completion_tokens < max_tokens ? "model_context_window_exceeded" : "max_tokens";
  }

  void Write(JsonText& json, const Usage& usage, uint32_t max_tokens) const {
    json.Key("stop_reason").String(Reason(usage, max_tokens)).Key("stop_sequence");
    if (finish == Finish::kStopString) {
      json.String(stop_string);
    } else {
      json.Null();
    }
  }
};

void WriteMessageHead(JsonText& json, const ReplyIdentity& identity) {
  json.Key("id").String("msg_" + identity.unique).Key("type").String("message");
  json.Key("role").String("assistant").Key("model").String(identity.model);
}

class MessageStream final : public ReplyWriter {
 public:
  MessageStream(ReplyIdentity identity, const ReplyOptions& options)
      : identity_(std::move(identity)), options_(options) {}

  [[nodiscard]] std::string content_type() const override { return "text/event-stream"; }
  [[nodiscard]] std::string keep_alive() const override {
    return NamedEvent("ping", R"({"type":"ping"})");
  }

  [[nodiscard]] std::string Start() override {
    begun_ = true;
    return {};
  }

  [[nodiscard]] std::string Write(const Event& event) override {
    std::string out;
    if (const auto* failed = std::get_if<TaskFailed>(&event)) {
      std::string body = ErrorBody(failed->error);
      return begun_ ? NamedEvent("error", body) : body;
    }
    if (!started_) out = StartMessage(event);
    std::visit([this, &out](const auto& e) { Add(out, e); }, event);
    return out;
  }

 private:
  enum class Block { kNone, kText, kThinking, kToolUse };

  // The message starts with its first event, which may know how long the prompt is.
  std::string StartMessage(const Event& event) {
    started_ = true;
    const auto* progress = std::get_if<PromptProgress>(&event);
    JsonText json;
    json.BeginObject().Key("type").String("message_start").Key("message").BeginObject();
    WriteMessageHead(json, identity_);
    json.Key("content").BeginArray().EndArray();
    json.Key("stop_reason").Null().Key("stop_sequence").Null().Key("usage");
    Usage usage;
    if (progress != nullptr) {
      usage.prompt_tokens = progress->n_total;
      usage.cached_tokens = progress->n_cached;
    }
    WriteMessageUsage(json, usage);
    json.EndObject().EndObject();
    return NamedEvent("message_start", json.text());
  }

  void Add(std::string& out, const TextEvent& event) {
    if (event.text.empty()) return;
    Open(out, Block::kText, R"({"type":"text","text":""})");
    Delta(out, "text_delta", "text", event.text);
  }
  void Add(std::string& out, const ReasoningEvent& event) {
    if (event.text.empty()) return;
    Open(out, Block::kThinking, R"({"type":"thinking","thinking":"","signature":""})");
    Delta(out, "thinking_delta", "thinking", event.text);
  }
  void Add(std::string& out, const ToolCallBegin& event) {
    Close(out);
    JsonText block;
    block.BeginObject().Key("type").String("tool_use").Key("id").String(event.id);
    block.Key("name").String(event.name).Key("input").BeginObject().EndObject().EndObject();
    Open(out, Block::kToolUse, block.text());
  }
  // Told when they are whole: clients fail on arguments that turn out to be no JSON.
  void Add(std::string&, const ToolCallArguments& event) { arguments_ += event.text; }
  void Add(std::string& out, const ToolCallEnd&) { Close(out); }
  void Add(std::string& out, const ChoiceEnd& event) {
    Close(out);
    end_ = {event.finish, event.stop_string};
  }
  void Add(std::string&, const PromptProgress&) {}
  void Add(std::string& out, const TaskEnd& event) {
    const Usage& usage = event.usage;
    JsonText json;
    json.BeginObject().Key("type").String("message_delta").Key("delta").BeginObject();
    end_.Write(json, usage, options_.max_tokens);
    json.EndObject().Key("usage");
    WriteMessageUsage(json, usage);
    json.EndObject();
    out += NamedEvent("message_delta", json.text());
    out += NamedEvent("message_stop", R"({"type":"message_stop"})");
  }
  void Add(std::string&, const TaskFailed&) {}

  void Open(std::string& out, Block block, std::string_view content_block) {
    if (block_ == block) return;
    Close(out);
    block_ = block;
    JsonText json;
    json.BeginObject().Key("type").String("content_block_start").Key("index").Number(index_);
    json.Key("content_block").Raw(content_block).EndObject();
    out += NamedEvent("content_block_start", json.text());
  }

  void Delta(std::string& out, std::string_view type, std::string_view field,
             std::string_view text) const {
    JsonText json;
    json.BeginObject().Key("type").String("content_block_delta").Key("index").Number(index_);
    json.Key("delta").BeginObject().Key("type").String(type).Key(field).String(text).EndObject();
    json.EndObject();
    out += NamedEvent("content_block_delta", json.text());
  }

  void Close(std::string& out) {
    if (block_ == Block::kNone) return;
    if (!arguments_.empty()) {
      const std::string input = ArgumentsObject(std::exchange(arguments_, {}));
      Delta(out, "input_json_delta", "partial_json", input);
    }
    block_ = Block::kNone;
    JsonText json;
    json.BeginObject().Key("type").String("content_block_stop").Key("index").Number(index_);
    json.EndObject();
    out += NamedEvent("content_block_stop", json.text());
    ++index_;
  }

  ReplyIdentity identity_;
  ReplyOptions options_;
  MessageEnd end_;
  Block block_ = Block::kNone;
  uint32_t index_ = 0;     // of the open block, or the next
  std::string arguments_;  // of the open block's call
  bool begun_ = false;     // the stream; before, a failure is a body
  bool started_ = false;   // the message
};

class WholeMessage final : public ReplyWriter {
 public:
  WholeMessage(ReplyIdentity identity, const ReplyOptions& options)
      : identity_(std::move(identity)), options_(options) {}

  [[nodiscard]] std::string content_type() const override { return "application/json"; }
  [[nodiscard]] std::string keep_alive() const override { return " "; }

  [[nodiscard]] std::string Write(const Event& event) override {
    std::string out;
    std::visit([this, &out](const auto& e) { Add(out, e); }, event);
    return out;
  }

 private:
  struct Block {
    std::string_view type;
    std::string text;  // of a tool's use: its arguments
    std::string id;
    std::string name;
  };

  void Add(std::string&, const TextEvent& event) { Append("text", event.text); }
  void Add(std::string&, const ReasoningEvent& event) { Append("thinking", event.text); }
  void Add(std::string&, const ToolCallBegin& event) {
    blocks_.push_back({"tool_use", "", event.id, event.name});
  }
  void Add(std::string&, const ToolCallArguments& event) { Append("tool_use", event.text); }
  void Add(std::string&, const ToolCallEnd&) {}
  void Add(std::string&, const ChoiceEnd& event) { end_ = {event.finish, event.stop_string}; }
  void Add(std::string&, const PromptProgress&) {}
  void Add(std::string& out, const TaskEnd& event) {
    const Usage& usage = event.usage;
    JsonText json;
    json.BeginObject();
    WriteMessageHead(json, identity_);
    json.Key("content").BeginArray();
    for (const Block& block : blocks_) WriteBlock(json, block);
    json.EndArray();
    end_.Write(json, usage, options_.max_tokens);
    json.Key("usage");
    WriteMessageUsage(json, usage);
    json.EndObject();
    out = json.text();
  }
  void Add(std::string& out, const TaskFailed& event) { out = ErrorBody(event.error); }

  void Append(std::string_view type, const std::string& text) {
    if (text.empty()) return;
    if (blocks_.empty() || blocks_.back().type != type) blocks_.push_back({type, "", "", ""});
    blocks_.back().text += text;
  }

  static void WriteBlock(JsonText& json, const Block& block) {
    json.BeginObject().Key("type").String(block.type);
    if (block.type == "tool_use") {
      json.Key("id").String(block.id).Key("name").String(block.name);
      json.Key("input").Raw(ArgumentsObject(block.text));
    } else {
      json.Key(block.type).String(block.text);
      if (block.type == "thinking") json.Key("signature").String("");
    }
    json.EndObject();
  }

  ReplyIdentity identity_;
  ReplyOptions options_;
  MessageEnd end_;
  std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<ReplyWriter> MakeReply(const ReplyIdentity& identity, const ReplyOptions& options) {
  if (options.stream) return std::make_unique<MessageStream>(identity, options);
  return std::make_unique<WholeMessage>(identity, options);
}

std::string ErrorBody(const ApiError& error) {
  JsonText json;
  json.BeginObject().Key("type").String("error").Key("error").BeginObject();
  json.Key("type").String(ErrorType(error.status));
  json.Key("message").String(error.message).EndObject().EndObject();
  return json.text();
}

http::Response ErrorResponse(const ApiError& error) {
  return {.status = error.status,
          .content_type = "application/json",
          .body = ErrorBody(error),
          .headers = RetryHeaders(error)};
}

std::string TokenCountBody(uint32_t n_tokens) {
  return JsonText().BeginObject().Key("input_tokens").Number(n_tokens).EndObject().text();
}

}  // namespace plimsoll::server::api::anthropic
