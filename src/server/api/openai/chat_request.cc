#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>

#include "engine/generation.h"
#include "server/api/constraint_fields.h"
#include "server/api/json/convert.h"
#include "server/api/json/parse_body.h"
#include "server/api/openai/conversation_fields.h"
#include "server/api/openai/generation_fields.h"
#include "server/api/openai/replies.h"
#include "server/api/openai/requests.h"

namespace plimsoll::server::api::openai {
namespace {

using text::jinja::Member;

// What the server itself tells the template.
constexpr std::string_view kOwnArguments[] = {"messages", "tools", "add_generation_prompt",
                                              "bos_token", "eos_token"};

void RefuseChatOptions(Fields& fields) {
  for (const Field& modality : fields["modalities"].Array({.most = 16})) {
    if (modality.String() != "text") modality.FailUnsupported("the answer is text");
  }
  for (const std::string_view key : {"audio", "web_search_options"}) {
    if (const Field field = fields[key]; field.present()) {
      field.FailUnsupported("the answer is the model's text");
    }
  }
  const Field verbosity = fields["verbosity"];
  if (const auto level = verbosity.String(); level && *level != "medium") {
    verbosity.FailUnsupported("tell the model in the prompt");
  }
  (void)fields["prediction"].Object();  // a hint about speed
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

// reasoning_effort as the template of a family wants it; what a client tells the template itself
// stands behind, and so above it.
std::vector<Member> ReadTemplateArguments(Fields& fields) {
  std::vector<Member> arguments;
  if (const auto effort = fields["reasoning_effort"].String({.most = 32})) {
    arguments.emplace_back("reasoning_effort", *effort);
    arguments.emplace_back("enable_thinking", *effort != "none");
  }
  for (const auto& [key, member] : fields["chat_template_kwargs"].Object().Members()) {
    if (std::find(std::begin(kOwnArguments), std::end(kOwnArguments), key) !=
        std::end(kOwnArguments)) {
      member.Fail("invalid_value", "is the server's own");
    }
    if (member.present()) arguments.emplace_back(key, ToTemplateValue(*member.value()));
  }
  return arguments;
}

Conversation ReadConversation(Fields& fields) {
  Conversation conversation;
  conversation.messages = ReadMessages(fields);
  ReadTools(fields, conversation);
  conversation.template_arguments = ReadTemplateArguments(fields);
  return conversation;
}

}  // namespace

ApiResult<TaskRequest> ParseChatRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  TaskRequest request;
  Task& task = request.task;
  task.input = ReadConversation(fields);
  ReadGeneration(fields, task);
  task.constraint =
      OnlyOne(std::move(task.constraint), ReadResponseFormat(fields["response_format"]), fields);
  // The newest name counts when several are given.
  for (const std::string_view key : {"n_predict", "max_tokens", "max_completion_tokens"}) {
    ReadTokenLimit(fields, key, task.options.n_predict);
  }
  ReadLogprobs(fields, task);
  RefuseChatOptions(fields);
  ReplyOptions options = ReadReplyOptions(fields, task);
  options.n_choices = task.n;
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  request.make_reply = [options](const ReplyIdentity& identity) {
    return MakeChatReply(identity, options);
  };
  request.unknown = std::move(reading.unknown);
  return request;
}

}  // namespace plimsoll::server::api::openai
