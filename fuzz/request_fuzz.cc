// Bodies as clients send them: whatever the bytes, every parser of requests ends soon, with a task
// or with an error that a client can be told.
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "base/invariant.h"
#include "base/utf8.h"
#include "server/api/anthropic/requests.h"
#include "server/api/json/convert.h"
#include "server/api/json/parse_body.h"
#include "server/api/ollama/requests.h"
#include "server/api/openai/replies.h"
#include "server/api/openai/requests.h"
#include "server/api/responses/requests.h"

namespace api = plimsoll::server::api;
namespace openai = plimsoll::server::api::openai;
using plimsoll::Invariant;

namespace {

bool IsPlainText(std::string_view text) {
  while (!text.empty()) {
    const size_t length = plimsoll::Utf8Length(text);
    if (length == 0 || static_cast<unsigned char>(text[0]) < 0x20) return false;
    text.remove_prefix(length);
  }
  return true;
}

void CheckError(const api::ApiError& error) {
  Invariant(error.status == 400 || error.status == 413, "it is the client's fault");
  Invariant(!error.message.empty() && IsPlainText(error.message), "a message that can be shown");
  Invariant(IsPlainText(error.param), "a place that can be shown");
  Invariant(api::ParseBody(openai::ErrorBody(error)).has_value(), "errors are JSON");
}

// A task's numbers are in range, and its reply is JSON.
void CheckTask(const api::ApiResult<api::TaskRequest>& request) {
  if (!request) {
    CheckError(request.error());
    return;
  }
  const api::Task& task = request->task;
  Invariant(task.n >= 1 && task.n <= 16, "n");
  Invariant(task.n_top_logprobs.value_or(0) <= 20, "top_logprobs");
  Invariant(task.options.stop.size() <= 16, "stop");
  Invariant(task.options.sampling.logit_bias.size() <= 1024, "logit_bias");
  Invariant(task.options.sampling.Validate().has_value(), "sampling");
  for (const std::string& name : request->unknown) Invariant(IsPlainText(name), "a name to log");
  const auto writer = request->make_reply({.unique = "u", .model = "m"});
  std::string reply = writer->Start();
  reply += writer->Write(api::TextEvent{.text = "t"});
  reply += writer->Write(api::ChoiceEnd{});
  reply += writer->Write(api::TaskEnd{});
  Invariant(task.stream ? reply.ends_with("data: [DONE]\n\n") : api::ParseBody(reply).has_value(),
            "a reply that clients read");
}

template <class Request>
void Check(const api::ApiResult<Request>& request) {
  if (!request) CheckError(request.error());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto value = api::ParseBody(body);
  if (!value) {
    CheckError(value.error());
  } else {
    const std::string json = api::ToJson(*value);
    const auto again = api::ParseBody(json);
    Invariant(again && api::ToJson(*again) == json, "what is written reads back");
    (void)api::ToTemplateValue(*value);
  }
  CheckTask(openai::ParseChatRequest(body));
  CheckTask(openai::ParseCompletionRequest(body));
  Check(openai::ParseEmbeddingRequest(body));
  Check(openai::ParseTokenizeRequest(body));
  Check(openai::ParseDetokenizeRequest(body));
  Check(api::responses::ParseResponsesRequest(body));
  Check(api::anthropic::ParseMessagesRequest(body));
  Check(api::anthropic::ParseCountTokensRequest(body));
  Check(api::ollama::ParseChatRequest(body));
  Check(api::ollama::ParseGenerateRequest(body));
  Check(api::ollama::ParseEmbedRequest(body));
  Check(api::ollama::ParseShowRequest(body));
  return 0;
}
