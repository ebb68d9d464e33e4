#include "server/api/responses/requests.h"

#include <string>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>

#include "base/json_text.h"
#include "engine/generation.h"
#include "server/api/constraint_fields.h"
#include "server/api/json/parse_body.h"
#include "server/api/request_fields.h"
#include "server/api/responses/input.h"
#include "server/api/responses/replies.h"
#include "server/api/responses/tools.h"

namespace plimsoll::server::api::responses {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

// A reply repeats the request's setting, or says what stands in its place.
void Repeat(const Field& field, std::string_view default_json, Settings& settings) {
  settings.emplace_back(field.path(), field.present() ? field.Json() : std::string(default_json));
}

void RefuseWhatWouldBeKept(Fields& fields) {
  constexpr std::string_view kNothingKept = "this server keeps nothing: send all of 'input'";
  for (const std::string_view key : {"previous_response_id", "conversation", "prompt"}) {
    if (const Field field = fields[key]; field.present()) field.FailUnsupported(kNothingKept);
  }
  if (const Field store = fields["store"]; store.Bool().value_or(false)) {
    store.FailUnsupported(kNothingKept);
  }
  if (const Field background = fields["background"]; background.Bool().value_or(false)) {
    background.FailUnsupported("a response ends with its connection");
  }
}

void ReadOutput(Fields& fields, Task& task, Settings& settings) {
  const Field truncation = fields["truncation"];
  if (const auto mode = truncation.String(); mode && *mode != "disabled") {
    truncation.FailUnsupported("nothing is cut from a conversation");
  }
  const Field text = fields["text"];
  Fields members = text.Object();
  task.constraint = ReadFlatFormat(members["format"]);
  if (const Field verbosity = members["verbosity"]; verbosity.present()) {
    if (verbosity.String().value_or("medium") != "medium") {
      verbosity.FailUnsupported("tell the model in the prompt");
    }
  }
  members.NoteUnknown();
  Repeat(text, R"({"format":{"type":"text"}})", settings);
  Fields stream_options = fields["stream_options"].Object();
  if (const Field field = stream_options["include_obfuscation"]; field.Bool().value_or(false)) {
    field.FailUnsupported("events are sent without padding");
  }
}

// What changes no answer; metadata is given back.
void AcceptTheRest(Fields& fields, Settings& settings) {
  const Field metadata = fields["metadata"];
  (void)metadata.Object();
  Repeat(metadata, "{}", settings);
  for (const std::string_view key : {"user", "safety_identifier", "prompt_cache_key"}) {
    const Field field = fields[key];
    (void)field.String();
    if (field.present()) Repeat(field, "null", settings);
  }
  (void)fields["prompt_cache_retention"].String();
  (void)fields["max_tool_calls"].Integer({1, kTokensMost});  // of tools that the server runs
  const Field tier = fields["service_tier"];
  if (const auto name = tier.String(); name && *name != "auto" && *name != "default") {
    tier.FailUnsupported("there is one tier, 'default'");
  }
}

void ReadReasoning(Fields& fields, Conversation& conversation, Settings& settings) {
  const Field field = fields["reasoning"];
  Fields reasoning = field.Object();
  if (const auto effort = reasoning["effort"].String({.most = 32})) {
    SetThinking(conversation, *effort != "none", *effort);
  }
  (void)reasoning["summary"].String();  // the reasoning itself is given
  (void)reasoning["generate_summary"].String();
  reasoning.NoteUnknown();
  Repeat(field, R"({"effort":null,"summary":null})", settings);
}

void ReadSampling(Fields& fields, Task& task, Settings& settings) {
  sampling::SamplerParams& sampling = task.options.sampling;
  ReadFloat(fields["temperature"], {0, 2}, sampling.temperature);
  ReadFloat(fields["top_p"], {0, 1}, sampling.top_p);
  ReadInt(fields["top_k"], {-1, kTokensMost}, sampling.top_k);
  ReadFloat(fields["min_p"], {0, 1}, sampling.min_p);
  ReadSeed(fields["seed"], task);
  settings.emplace_back("temperature", JsonText().Number(sampling.temperature).text());
  settings.emplace_back("top_p", JsonText().Number(sampling.top_p).text());
  const Field limit = fields["max_output_tokens"];
  task.options.n_predict = static_cast<uint32_t>(limit.Integer({1, kTokensMost}).value_or(0));
  Repeat(limit, "null", settings);
}

// Whether the tokens' probabilities are to be told.
void ReadLogprobs(Fields& fields, Task& task, Settings& settings) {
  bool wanted = false;
  for (const Field& item : fields["include"].Array({.most = 32})) {
    const auto name = item.String();
    if (name == "message.output_text.logprobs") {
      wanted = true;
    } else if (name && *name != "reasoning.encrypted_content") {
      item.FailUnsupported("'message.output_text.logprobs' is");
    }
  }
  const Field top = fields["top_logprobs"];
  const auto n_top = top.Integer({0, engine::kMaxTopLogprobs});
  if (wanted || n_top.value_or(0) > 0) {
    task.n_top_logprobs = static_cast<uint32_t>(n_top.value_or(0));
  }
  Repeat(top, "0", settings);
}

Conversation ReadConversation(Fields& fields, Settings& settings) {
  Conversation conversation;
  conversation.messages = ReadInput(fields);
  ReadTools(fields, conversation);
  ReadReasoning(fields, conversation, settings);
  Repeat(fields["instructions"], "null", settings);
  Repeat(fields["tools"], "[]", settings);
  Repeat(fields["tool_choice"], R"("auto")", settings);
  Repeat(fields["parallel_tool_calls"], "true", settings);
  return conversation;
}

}  // namespace

ApiResult<TaskRequest> ParseResponsesRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  TaskRequest request;
  Task& task = request.task;
  ReplyOptions options;
  task.model = fields["model"].String(kModelNameBytes).value_or("");
  task.stream = fields["stream"].Bool().value_or(false);
  RefuseWhatWouldBeKept(fields);
  task.input = ReadConversation(fields, options.settings);
  ReadSampling(fields, task, options.settings);
  ReadLogprobs(fields, task, options.settings);
  ReadOutput(fields, task, options.settings);
  ReadCacheSalt(fields["cache_salt"], task);
  ReadKvPolicy(fields, task);
  AcceptTheRest(fields, options.settings);
  for (const auto& [name, value] :
       {std::pair{"store", "false"}, std::pair{"background", "false"},
        std::pair{"previous_response_id", "null"}, std::pair{"truncation", R"("disabled")"},
        std::pair{"service_tier", R"("default")"}}) {
    options.settings.emplace_back(name, value);
  }
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  options.stream = task.stream;
  options.logprobs = task.n_top_logprobs.has_value();
  request.make_reply = [options = std::move(options)](const ReplyIdentity& identity) {
    return MakeReply(identity, options);
  };
  request.unknown = std::move(reading.unknown);
  return request;
}

}  // namespace plimsoll::server::api::responses
