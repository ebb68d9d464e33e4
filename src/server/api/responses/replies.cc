#include "server/api/responses/replies.h"

#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/json_text.h"
#include "server/api/named_event.h"
#include "server/api/responses/output_item.h"

namespace plimsoll::server::api::responses {
namespace {

using Kind = OutputItem::Kind;
using SystemTime = std::chrono::system_clock::time_point;

int64_t UnixSeconds(SystemTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// One of the codes that a Response's error may have.
std::string_view ResponseErrorCode(unsigned status) {
  if (status == 429) return "rate_limit_exceeded";
  return status < 500 ? "invalid_prompt" : "server_error";
}

class ResponsesWriter final : public ReplyWriter {
 public:
  ResponsesWriter(ReplyIdentity identity, ReplyOptions options)
      : identity_(std::move(identity)), options_(std::move(options)) {}

  [[nodiscard]] std::string content_type() const override {
    return options_.stream ? "text/event-stream" : "application/json";
  }
  [[nodiscard]] std::string keep_alive() const override {
    return options_.stream ? ": ping\n\n" : " ";
  }

  [[nodiscard]] std::string Start() override {
    if (!options_.stream) return {};
    begun_ = true;
    Lifecycle("response.created");
    Lifecycle("response.in_progress");
    return std::exchange(out_, {});
  }

  [[nodiscard]] std::string Write(const Event& event) override {
    std::visit([this](const auto& e) { Add(e); }, event);
    return std::exchange(out_, {});
  }

 private:
  void Add(const TextEvent& event) {
    if (event.text.empty() && (!options_.logprobs || event.tokens.empty())) return;
    OutputItem& item = Current(Kind::kMessage, "msg");
    item.text += event.text;
    const std::vector<TokenReport> none;
    const std::vector<TokenReport>& tokens = options_.logprobs ? event.tokens : none;
    item.tokens.insert(item.tokens.end(), tokens.begin(), tokens.end());
    Emit("response.output_text.delta", [&](JsonText& json) {
      WritePlace(json, true);
      json.Key("delta").String(event.text).Key("logprobs");
      WriteTokenReports(json, tokens);
    });
  }
  void Add(const ReasoningEvent& event) {
    if (event.text.empty()) return;
    Current(Kind::kReasoning, "rs").text += event.text;
    Emit("response.reasoning_text.delta", [&](JsonText& json) {
      WritePlace(json, true);
      json.Key("delta").String(event.text);
    });
  }
  void Add(const ToolCallBegin& event) {
    Close("completed");
    OutputItem& item = items_.emplace_back();
    item.call_id = event.id;
    item.name = event.name;
    Open(item, Kind::kFunctionCall, "fc");
  }
  void Add(const ToolCallArguments& event) {
    if (event.text.empty() || !open_) return;
    items_.back().text += event.text;
    Emit("response.function_call_arguments.delta", [&](JsonText& json) {
      WritePlace(json, false);
      json.Key("delta").String(event.text);
    });
  }
  void Add(const ToolCallEnd&) { Close("completed"); }
  void Add(const ChoiceEnd& event) {
    finish_ = event.finish;
    Close(finish_ == Finish::kLength ? "incomplete" : "completed");
  }
  void Add(const PromptProgress&) {}
  void Add(const TaskEnd& event) {
    status_ = finish_ == Finish::kLength ? "incomplete" : "completed";
    completed_ = UnixSeconds(options_.now());
    usage_ = event.usage;
    End();
  }
  void Add(const TaskFailed& event) {
    if (!begun_) {
      out_ = OpenAiErrorBody(event.error);
      return;
    }
    Close("incomplete");
    status_ = "failed";
    error_ = event.error;
    End();
  }

  // The open item, of that kind; a new one, when another or none is open.
  OutputItem& Current(Kind kind, std::string_view prefix) {
    if (!open_ || items_.back().kind != kind) {
      Close("completed");
      Open(items_.emplace_back(), kind, prefix);
    }
    return items_.back();
  }

  void Open(OutputItem& item, Kind kind, std::string_view prefix) {
    open_ = true;
    item.kind = kind;
    item.id = fmt::format("{}_{}{:02x}", prefix, identity_.unique, items_.size() - 1);
    Emit("response.output_item.added", [&](JsonText& json) { WriteItem(json, false); });
    if (kind == Kind::kFunctionCall) return;
    Emit("response.content_part.added", [&](JsonText& json) {
      WritePlace(json, true);
      json.Key("part");
      WriteContentPart(json, item, "", {});
    });
  }

  void Close(std::string_view status) {
    if (!open_) return;
    open_ = false;
    OutputItem& item = items_.back();
    item.status = status;
    if (item.kind == Kind::kFunctionCall) {
      Emit("response.function_call_arguments.done", [&](JsonText& json) {
        WritePlace(json, false);
        json.Key("name").String(item.name).Key("arguments").String(item.text);
      });
    } else {
      CloseContent(item);
    }
    Emit("response.output_item.done", [&](JsonText& json) { WriteItem(json, true); });
  }

  void CloseContent(const OutputItem& item) {
    const bool message = item.kind == Kind::kMessage;
    Emit(message ? "response.output_text.done" : "response.reasoning_text.done",
         [&](JsonText& json) {
           WritePlace(json, true);
           json.Key("text").String(item.text);
           if (message) WriteTokenReports(json.Key("logprobs"), item.tokens);
         });
    Emit("response.content_part.done", [&](JsonText& json) {
      WritePlace(json, true);
      json.Key("part");
      WriteContentPart(json, item, item.text, item.tokens);
    });
  }

  // The last item, as members of an event.
  void WriteItem(JsonText& json, bool with_content) const {
    json.Key("output_index").Number(items_.size() - 1).Key("item");
    WriteOutputItem(json, items_.back(), with_content);
  }
  void WritePlace(JsonText& json, bool in_content) const {
    json.Key("item_id").String(items_.back().id).Key("output_index").Number(items_.size() - 1);
    if (in_content) json.Key("content_index").Number(0);
  }

  template <class Members>
  void Emit(std::string_view type, const Members& write_members) {
    if (!options_.stream) return;
    JsonText json;
    json.BeginObject().Key("type").String(type).Key("sequence_number").Number(sequence_++);
    write_members(json);
    json.EndObject();
    out_ += NamedEvent(type, json.text());
  }

  void Lifecycle(std::string_view type) {
    Emit(type, [&](JsonText& json) { WriteResponse(json.Key("response")); });
  }

  void End() {
    if (options_.stream) {
      Lifecycle("response." + status_);
    } else {
      JsonText json;
      WriteResponse(json);
      out_ = json.text();
    }
  }

  void WriteResponse(JsonText& json) const {
    json.BeginObject()
        .Key("id")
        .String("resp_" + identity_.unique)
        .Key("object")
        .String("response");
    json.Key("created_at")
        .Number(identity_.created)
        .Key("status")
        .String(status_)
        .Key("completed_at");
    completed_ ? json.Number(*completed_) : json.Null();
    WriteFaults(json);
    json.Key("model").String(identity_.model).Key("output").BeginArray();
    for (const OutputItem& item : items_) WriteOutputItem(json, item, true);
    json.EndArray();
    for (const auto& [name, value] : options_.settings) json.Key(name).Raw(value);
    WriteUsage(json.Key("usage"));
    json.EndObject();
  }

  void WriteFaults(JsonText& json) const {
    json.Key("error");
    if (error_) {
      json.BeginObject().Key("code").String(ResponseErrorCode(error_->status));
      json.Key("message").String(error_->message).EndObject();
    } else {
      json.Null();
    }
    json.Key("incomplete_details");
    if (status_ == "incomplete") {
      json.BeginObject().Key("reason").String("max_output_tokens").EndObject();
    } else {
      json.Null();
    }
  }

  void WriteUsage(JsonText& json) const {
    if (!usage_) {
      json.Null();
      return;
    }
    json.BeginObject().Key("input_tokens").Number(usage_->prompt_tokens);
    json.Key("input_tokens_details").BeginObject();
    json.Key("cached_tokens").Number(usage_->cached_tokens).EndObject();
    json.Key("output_tokens").Number(usage_->completion_tokens);
    json.Key("output_tokens_details").BeginObject();
    json.Key("reasoning_tokens").Number(usage_->reasoning_tokens).EndObject();
    json.Key("total_tokens").Number(usage_->prompt_tokens + usage_->completion_tokens);
    WriteLosses(*usage_, json);
    json.EndObject();
  }

  static std::string OpenAiErrorBody(const ApiError& error) {
    JsonText json;
    json.BeginObject().Key("error").BeginObject().Key("message").String(error.message);
    json.Key("type").String(error.type).Key("param");
    error.param.empty() ? json.Null() : json.String(error.param);
    json.Key("code");
    error.code.empty() ? json.Null() : json.String(error.code);
    json.EndObject().EndObject();
    return json.text();
  }

  ReplyIdentity identity_;
  ReplyOptions options_;
  bool begun_ = false;  // the stream; before, a failure is a body
  std::string status_ = "in_progress";
  std::optional<int64_t> completed_;
  std::vector<OutputItem> items_;
  bool open_ = false;  // the last item
  Finish finish_ = Finish::kStop;
  std::optional<Usage> usage_;
  std::optional<ApiError> error_;
  uint64_t sequence_ = 0;
  std::string out_;  // of the call under way
};

}  // namespace

std::unique_ptr<ReplyWriter> MakeReply(const ReplyIdentity& identity, const ReplyOptions& options) {
  return std::make_unique<ResponsesWriter>(identity, options);
}

}  // namespace plimsoll::server::api::responses
