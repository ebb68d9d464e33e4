#include "server/api/anthropic/requests.h"

#include <utility>

#include <boost/json/value.hpp>

#include "server/api/anthropic/content.h"
#include "server/api/anthropic/replies.h"
#include "server/api/constraint_fields.h"
#include "server/api/json/parse_body.h"
#include "server/api/request_fields.h"

namespace plimsoll::server::api::anthropic {
namespace {

Tool ReadTool(const Field& item) {
  Fields fields = item.Object();
  const Field type = fields["type"];
  if (const auto name = type.String(); name && *name != "custom") {
    type.FailUnsupported("only tools of type 'custom' are");
  }
  (void)fields.Required("input_schema");
  Tool tool = ReadFlatTool(fields, "input_schema");
  (void)fields["cache_control"];
  fields.NoteUnknown();
  return tool;
}

void ReadToolChoice(const Field& field, Conversation& conversation) {
  if (!field.present()) return;
  constexpr ToolChoice::Kind kKinds[] = {ToolChoice::Kind::kAuto, ToolChoice::Kind::kRequired,
                                         ToolChoice::Kind::kNamed, ToolChoice::Kind::kNone};
  Fields fields = field.Object();
  const auto type = fields.Required("type").OneOf({"auto", "any", "tool", "none"});
  if (type) conversation.tool_choice.kind = kKinds[*type];
  if (type == 2U) {
    conversation.tool_choice.name = ReadKnownTool(fields.Required("name"), conversation);
  } else if (type == 1U && conversation.tools.empty()) {
    field.Fail("invalid_value", "wants a call, and there are no tools");
  }
  conversation.parallel_tool_calls = !fields["disable_parallel_tool_use"].Bool().value_or(false);
  fields.NoteUnknown();
}

void ReadThinking(Fields& fields, Conversation& conversation,
                  std::optional<Constraint>& constraint) {
  Fields thinking = fields["thinking"].Object();
  const auto type = thinking["type"].OneOf({"disabled", "enabled", "adaptive"});
  const auto budget = thinking["budget_tokens"].Integer({1, kTokensMost});
  if (type == 1U && !budget) (void)thinking.Required("budget_tokens");
  (void)thinking["display"].String();
  thinking.NoteUnknown();

  Fields output = fields["output_config"].Object();
  const std::string_view effort = output["effort"].String({.most = 32}).value_or("");
  constraint = ReadFlatFormat(output["format"]);
  output.NoteUnknown();
  if (type || !effort.empty()) SetThinking(conversation, type != 0U, effort);
}

Conversation ReadConversation(Fields& fields, std::optional<Constraint>& constraint) {
  Conversation conversation;
  conversation.messages = ReadMessages(fields);
  ReadToolList(fields["tools"], conversation, ReadTool);
  ReadToolChoice(fields["tool_choice"], conversation);
  ReadThinking(fields, conversation, constraint);
  for (const std::string_view key : {"container", "mcp_servers"}) {
    const Field field = fields[key];
    const bool empty = field.is_array() && field.Array().empty();
    if (field.present() && !empty) field.FailUnsupported("tools run at the client only");
  }
  for (const std::string_view key : {"metadata", "service_tier", "cache_control"}) {
    (void)fields[key];  // change no answer
  }
  return conversation;
}

}  // namespace

ApiResult<TaskRequest> ParseMessagesRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  TaskRequest request;
  Task& task = request.task;
  task.model = fields.Required("model").String(kModelNameBytes).value_or("");
  const auto limit = fields.Required("max_tokens").Integer({1, kTokensMost});
  task.options.n_predict = static_cast<uint32_t>(limit.value_or(1));
  task.input = ReadConversation(fields, task.constraint);
  task.options.stop = ReadStopStrings(fields["stop_sequences"]);
  ReadFloat(fields["temperature"], {0, 2}, task.options.sampling.temperature);
  ReadFloat(fields["top_p"], {0, 1}, task.options.sampling.top_p);
  ReadInt(fields["top_k"], {0, kTokensMost}, task.options.sampling.top_k);
  task.stream = fields["stream"].Bool().value_or(false);
  ReadKvPolicy(fields, task);
  task.report_progress = task.stream;  // whose first report says how long the prompt is
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  const ReplyOptions options{.max_tokens = task.options.n_predict, .stream = task.stream};
  request.make_reply = [options](const ReplyIdentity& identity) {
    return MakeReply(identity, options);
  };
  request.unknown = std::move(reading.unknown);
  return request;
}

ApiResult<CountTokensRequest> ParseCountTokensRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  CountTokensRequest request;
  request.model = fields.Required("model").String(kModelNameBytes).value_or("");
  std::optional<Constraint> unused;  // tokens of the prompt are counted
  request.conversation = ReadConversation(fields, unused);
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  request.unknown = std::move(reading.unknown);
  return request;
}

}  // namespace plimsoll::server::api::anthropic
