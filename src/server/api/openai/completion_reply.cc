// The replies of /v1/completions, whole and as a stream.
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/utf8.h"
#include "server/api/openai/replies.h"
#include "server/api/openai/reply_parts.h"

namespace plimsoll::server::api::openai {
namespace {

constexpr std::string_view kTextPrefix = "cmpl-";

uint64_t CountCharacters(std::string_view text) {
  uint64_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1U : 0U;
  return n;
}

// {"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]}; `offset` is where the first
// token's text begins, in characters of the choice's text, and moves on behind the last.
void WriteLegacyLogprobs(std::span<const TokenReport> tokens, uint64_t& offset, JsonText& json) {
  json.BeginObject().Key("tokens").BeginArray();
  for (const TokenReport& report : tokens) json.String(TokenSpelling(report.token.text));
  json.EndArray().Key("token_logprobs").BeginArray();
  for (const TokenReport& report : tokens) json.Number(FiniteLogprob(report.token.logprob));
  json.EndArray().Key("top_logprobs").BeginArray();
  for (const TokenReport& report : tokens) {
    json.BeginObject();
    for (const TokenText& other : report.top) {
      json.Key(TokenSpelling(other.text)).Number(FiniteLogprob(other.logprob));
    }
    json.EndObject();
  }
  json.EndArray().Key("text_offset").BeginArray();
  for (const TokenReport& report : tokens) {
    json.Number(offset);
    offset += CountCharacters(report.token.text);
  }
  json.EndArray().EndObject();
}

// What is common to both: a plain prompt has text and nothing else, so whatever comes is text.
class CompletionReply : public ReplyWriter {
 public:
  CompletionReply(ReplyIdentity identity, ReplyOptions options)
      : identity_(std::move(identity)), options_(options) {}

  [[nodiscard]] std::string Write(const Event& event) override {
    if (const auto* text = std::get_if<TextEvent>(&event)) {
      return OnText(text->choice, text->text, text->tokens);
    }
    if (const auto* text = std::get_if<ReasoningEvent>(&event)) {
      return OnText(text->choice, text->text, text->tokens);
    }
    if (const auto* end = std::get_if<ChoiceEnd>(&event)) return OnChoiceEnd(*end);
    if (const auto* progress = std::get_if<PromptProgress>(&event)) return OnProgress(*progress);
    if (const auto* end = std::get_if<TaskEnd>(&event)) return OnTaskEnd(end->usage);
    if (const auto* failed = std::get_if<TaskFailed>(&event)) return OnFailed(failed->error);
    return "";
  }

 protected:
  virtual std::string OnText(uint32_t choice, std::string_view text,
                             std::span<const TokenReport> tokens) = 0;
  virtual std::string OnChoiceEnd(const ChoiceEnd& end) = 0;
  virtual std::string OnProgress(const PromptProgress&) { return ""; }
  virtual std::string OnTaskEnd(const Usage& usage) = 0;
  virtual std::string OnFailed(const ApiError& error) = 0;

  [[nodiscard]] JsonText Open() const {
    JsonText json;
    json.BeginObject();
    WriteIdentity(identity_, kTextPrefix, "text_completion", json);
    json.Key("choices").BeginArray();
    return json;
  }

  static void WriteChoice(JsonText& json, uint64_t index, std::string_view text,
                          std::span<const TokenReport> tokens, bool logprobs, uint64_t& offset,
                          std::string_view finish) {
    json.BeginObject().Key("index").Number(index).Key("text").String(text).Key("logprobs");
    if (logprobs) {
      WriteLegacyLogprobs(tokens, offset, json);
    } else {
      json.Null();
    }
    json.Key("finish_reason");
    finish.empty() ? json.Null() : json.String(finish);
    json.EndObject();
  }

  void WriteTotals(JsonText& json, const Usage& usage, bool with_usage) const {
    if (with_usage) {
      json.Key("usage");
      WriteUsage(usage, json);
    }
    if (options_.timings) {
      json.Key("timings");
      WriteTimings(usage, json);
    }
  }

  [[nodiscard]] const ReplyOptions& options() const { return options_; }

 private:
  ReplyIdentity identity_;
  ReplyOptions options_;
};

class CompletionStream final : public CompletionReply {
 public:
  CompletionStream(ReplyIdentity identity, ReplyOptions options)
      : CompletionReply(std::move(identity), options), offsets_(options.n_choices) {}

  [[nodiscard]] std::string content_type() const override { return "text/event-stream"; }
  [[nodiscard]] std::string keep_alive() const override { return ": ping\n\n"; }
  [[nodiscard]] std::string Start() override {
    begun_ = true;
    return {};
  }

 private:
  std::string OnText(uint32_t choice, std::string_view text,
                     std::span<const TokenReport> tokens) override {
    if (text.empty() && tokens.empty()) return "";
    return Chunk(choice, text, tokens, "");
  }
  std::string OnChoiceEnd(const ChoiceEnd& end) override {
    return Chunk(end.choice, "", {}, FinishName(end.finish));
  }
  std::string OnProgress(const PromptProgress& progress) override {
    JsonText json = Open();
    uint64_t offset = 0;
    WriteChoice(json, 0, "", {}, false, offset, "");
    json.EndArray();
    if (options().include_usage) json.Key("usage").Null();
    json.Key("prompt_progress").BeginObject().Key("total").Number(progress.n_total);
    json.Key("cache").Number(progress.n_cached).Key("processed").Number(progress.n_processed);
    json.Key("time_ms").Number(static_cast<int64_t>(progress.seconds * 1e3)).EndObject();
    return ServerEvent(json.EndObject().text());
  }
  std::string OnTaskEnd(const Usage& usage) override {
    std::string out;
    if (options().include_usage || options().timings) {
      JsonText json = Open();
      json.EndArray();
      WriteTotals(json, usage, options().include_usage);
      out = ServerEvent(json.EndObject().text());
    }
    return out += kDone;
  }
  std::string OnFailed(const ApiError& error) override {
    std::string body = ErrorBody(error);
    return begun_ ? ServerEvent(body) : body;
  }

  std::string Chunk(uint32_t choice, std::string_view text, std::span<const TokenReport> tokens,
                    std::string_view finish) {
    if (choice >= offsets_.size()) offsets_.resize(size_t{choice} + 1);
    JsonText json = Open();
    WriteChoice(json, choice, text, tokens, !tokens.empty(), offsets_[choice], finish);
    json.EndArray();
    if (options().include_usage) json.Key("usage").Null();
    return ServerEvent(json.EndObject().text());
  }

  bool begun_ = false;  // before, a failure is a body
  std::vector<uint64_t> offsets_;
};

class CompletionWhole final : public CompletionReply {
 public:
  CompletionWhole(ReplyIdentity identity, ReplyOptions options)
      : CompletionReply(std::move(identity), options), choices_(options.n_choices) {}

  [[nodiscard]] std::string content_type() const override { return "application/json"; }
  [[nodiscard]] std::string keep_alive() const override { return " "; }

 private:
  struct Choice {
    std::string text;
    std::vector<TokenReport> tokens;
    Finish finish = Finish::kStop;
  };

  std::string OnText(uint32_t choice, std::string_view text,
                     std::span<const TokenReport> tokens) override {
    Choice& to = At(choice);
    to.text += text;
    to.tokens.insert(to.tokens.end(), tokens.begin(), tokens.end());
    return "";
  }
  std::string OnChoiceEnd(const ChoiceEnd& end) override {
    At(end.choice).finish = end.finish;
    return "";
  }
  std::string OnTaskEnd(const Usage& usage) override {
    JsonText json = Open();
    for (size_t i = 0; i < choices_.size(); ++i) {
      uint64_t offset = 0;
      const Choice& choice = choices_[i];
      WriteChoice(json, i, choice.text, choice.tokens, options().logprobs, offset,
                  FinishName(choice.finish));
    }
    json.EndArray();
    WriteTotals(json, usage, true);
    return json.EndObject().text();
  }
  std::string OnFailed(const ApiError& error) override { return ErrorBody(error); }

  Choice& At(uint32_t choice) {
    if (choice >= choices_.size()) choices_.resize(size_t{choice} + 1);
    return choices_[choice];
  }

  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<ReplyWriter> MakeCompletionReply(const ReplyIdentity& identity,
                                                 const ReplyOptions& options) {
  if (options.stream) return std::make_unique<CompletionStream>(identity, options);
  return std::make_unique<CompletionWhole>(identity, options);
}

}  // namespace plimsoll::server::api::openai
