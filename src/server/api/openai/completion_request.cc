#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "engine/generation.h"
#include "server/api/constraint_fields.h"
#include "server/api/json/parse_body.h"
#include "server/api/openai/generation_fields.h"
#include "server/api/openai/prompt_fields.h"
#include "server/api/openai/replies.h"
#include "server/api/openai/requests.h"

namespace plimsoll::server::api::openai {
namespace {

constexpr uint64_t kPromptsMost = 128;
constexpr uint32_t kAllChoicesMost = 128;  // of all prompts together

std::vector<PlainPrompt> ReadPrompts(Fields& fields) {
  const bool echo = fields["echo"].Bool().value_or(false);
  std::vector<PlainPrompt> prompts;
  for (TextOrTokens& text : ReadTexts(fields.Required("prompt"), kPromptsMost)) {
    prompts.push_back({.text = std::move(text), .echo = echo});
  }
  return prompts;
}

// An integer here, as it was before chat; true is taken for 0 with only the drawn token.
void ReadLegacyLogprobs(Fields& fields, bool echo, Task& task) {
  const Field field = fields["logprobs"];
  if (field.is_bool()) {
    if (field.Bool().value_or(false)) task.n_top_logprobs = 0;
  } else if (const auto n = field.Integer({0, engine::kMaxTopLogprobs})) {
    task.n_top_logprobs = static_cast<uint32_t>(*n);
  }
  if (echo && task.n_top_logprobs) {
    field.FailUnsupported("not together with 'echo', since a prompt's logprobs are not kept");
  }
}

void RefuseCompletionOptions(Fields& fields, const Task& task) {
  const Field suffix = fields["suffix"];
  if (!suffix.String().value_or("").empty()) {
    suffix.FailUnsupported("text is not filled in; write the model's own marks into the prompt");
  }
  const Field best_of = fields["best_of"];
  if (const auto n = best_of.Integer({0, 20}); n && *n != task.n && *n != 0) {
    best_of.FailUnsupported("every choice that is made is given: set 'n'");
  }
}

}  // namespace

ApiResult<TaskRequest> ParseCompletionRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  TaskRequest request;
  Task& task = request.task;
  std::vector<PlainPrompt> prompts = ReadPrompts(fields);
  ReadGeneration(fields, task);
  task.constraint =
      OnlyOne(std::move(task.constraint), ReadResponseFormat(fields["response_format"]), fields);
  for (const std::string_view key : {"n_predict", "max_tokens"}) {
    ReadTokenLimit(fields, key, task.options.n_predict);
  }
  ReadLegacyLogprobs(fields, !prompts.empty() && prompts.front().echo, task);
  RefuseCompletionOptions(fields, task);
  ReplyOptions options = ReadReplyOptions(fields, task);
  options.n_choices = task.n * static_cast<uint32_t>(prompts.size());
  if (options.n_choices > kAllChoicesMost) {
    fields["prompt"].Fail("invalid_value",
                          fmt::format("and 'n' make more than {} choices", kAllChoicesMost));
  }
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  task.input = std::move(prompts);
  request.make_reply = [options](const ReplyIdentity& identity) {
    return MakeCompletionReply(identity, options);
  };
  request.unknown = std::move(reading.unknown);
  return request;
}

}  // namespace plimsoll::server::api::openai
