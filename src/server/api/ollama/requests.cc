#include "server/api/ollama/requests.h"

#include <utility>

#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "engine/generation.h"
#include "server/api/constraint_fields.h"
#include "server/api/json/parse_body.h"
#include "server/api/ollama/messages.h"
#include "server/api/ollama/options.h"
#include "server/api/request_fields.h"

namespace plimsoll::server::api::ollama {
namespace {

// `think`: true, false or how much.
void ReadThink(const Field& field, Conversation& conversation) {
  if (!field.present()) return;
  if (!field.is_string()) {
    if (const auto think = field.Bool()) SetThinking(conversation, *think, "");
    return;
  }
  constexpr std::string_view kLevels[] = {"low", "medium", "high"};
  const auto level = field.OneOf({kLevels[0], kLevels[1], kLevels[2]});
  if (level) SetThinking(conversation, true, kLevels[*level]);
}

void ReadLogprobs(Fields& fields, Task& task) {
  const bool wanted = fields["logprobs"].Bool().value_or(false);
  const Field top = fields["top_logprobs"];
  const auto n_top = top.Integer({0, engine::kMaxTopLogprobs});
  if (wanted) {
    task.n_top_logprobs = static_cast<uint32_t>(n_top.value_or(0));
  } else if (n_top.value_or(0) > 0) {
    top.Fail("invalid_value", "needs 'logprobs' to be true");
  }
}

// What /api/chat and /api/generate share; `is_empty`: there is no prompt.
void ReadCommon(Fields& fields, bool is_empty, TextRequest& text) {
  Task& task = text.request.task;
  task.model = fields.Required("model").String(kModelNameBytes).value_or("");
  task.stream = fields["stream"].Bool().value_or(true);
  text.n_ctx = ReadOptions(fields, task);
  ReadLogprobs(fields, task);
  ReadKvPolicy(fields, task);
  task.constraint = ReadOllamaFormat(fields["format"]);
  const auto keep_alive = ReadKeepAlive(fields["keep_alive"]);
  text.only_load = is_empty;
  text.only_unload = is_empty && keep_alive == 0.0;
  text.reply.stream = task.stream;
  text.reply.logprobs = task.n_top_logprobs.has_value();
}

ApiResult<TextRequest> Finish(Fields& fields, Reading& reading, TextRequest text) {
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  text.request.make_reply = [options = text.reply](const ReplyIdentity& identity) {
    return MakeReply(identity, options);
  };
  text.request.unknown = std::move(reading.unknown);
  return text;
}

}  // namespace

ApiResult<TextRequest> ParseChatRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  TextRequest text{.reply = {.kind = ReplyOptions::Kind::kChat}};
  Conversation conversation = ReadConversation(fields);
  ReadThink(fields["think"], conversation);
  ReadCommon(fields, conversation.messages.empty(), text);
  text.request.task.input = std::move(conversation);
  return Finish(fields, reading, std::move(text));
}

ApiResult<TextRequest> ParseGenerateRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  TextRequest text{.reply = {.kind = ReplyOptions::Kind::kGenerate}};
  const std::string prompt(fields["prompt"].String().value_or(""));
  const Field system = fields["system"];
  const auto instruction = system.String();
  Conversation conversation;
  ReadThink(fields["think"], conversation);
  RefuseUnlessEmpty(fields["suffix"], "filling in the middle is not offered yet");
  RefuseUnlessEmpty(fields["images"], "models here read text only");
  RefuseUnlessEmpty(fields["template"], "the model's own template is used; 'raw' uses none");
  RefuseUnlessEmpty(fields["context"], "send the whole conversation to /api/chat");
  ReadCommon(fields, prompt.empty(), text);
  if (fields["raw"].Bool().value_or(false)) {
    RefuseUnlessEmpty(system, "a 'raw' prompt is used as it is");
    text.request.task.input = std::vector<PlainPrompt>{{.text = prompt}};
  } else {
    if (instruction && !instruction->empty()) {
      conversation.messages.push_back({.role = "system", .content = std::string(*instruction)});
    }
    conversation.messages.push_back({.role = "user", .content = prompt});
    text.request.task.input = std::move(conversation);
  }
  return Finish(fields, reading, std::move(text));
}

ApiResult<> CheckContext(std::optional<uint32_t> wanted, uint32_t n_ctx) {
  if (!wanted || *wanted <= n_ctx) return {};
  return tl::unexpected(ApiError{
      .message = fmt::format("'options.num_ctx' is {}, and the model has a context of {} tokens "
                             "here: ask for less, or start the server with a larger --ctx-size.",
                             *wanted, n_ctx),
      .code = "unsupported_value",
      .param = "options.num_ctx"});
}

ApiResult<EmbedRequest> ParseEmbedRequest(std::string_view body) {
  constexpr uint64_t kInputsMost = 2048;
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  EmbedRequest request;
  request.model = fields.Required("model").String(kModelNameBytes).value_or("");
  const Field input = fields.Required("input");
  if (input.is_array()) {
    request.inputs = input.Strings({}, {.most = kInputsMost});
  } else if (const auto one = input.String()) {
    request.inputs.emplace_back(*one);
  }
  request.truncate = fields["truncate"].Bool().value_or(false);
  if (const Field field = fields["dimensions"]; field.Integer({0, kTokensMost}).value_or(0) != 0) {
    field.FailUnsupported("an embedding has the model's own length");
  }
  (void)ReadKeepAlive(fields["keep_alive"]);
  Task unused;
  request.n_ctx = ReadOptions(fields, unused);
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  request.unknown = std::move(reading.unknown);
  return request;
}

ApiResult<std::string> ParseShowRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  const Field old_name = fields["name"];  // what "model" was called once
  const Field model =
      old_name.present() && !fields.Has("model") ? old_name : fields.Required("model");
  std::string name(model.String(kModelNameBytes).value_or(""));
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  return name;
}

}  // namespace plimsoll::server::api::ollama
