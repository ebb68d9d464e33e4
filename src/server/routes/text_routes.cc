// Routes that make text: OpenAI's, Anthropic's, and OpenAI's Responses.
#include <utility>

#include "server/api/anthropic/replies.h"
#include "server/api/anthropic/requests.h"
#include "server/api/openai/replies.h"
#include "server/api/openai/requests.h"
#include "server/api/prepare_task.h"
#include "server/api/responses/requests.h"
#include "server/server.h"

namespace plimsoll::server {
namespace {

namespace anthropic = api::anthropic;
namespace openai = api::openai;

http::Handler CountTokensHandler(ServingPtr serving) {
  return [serving = std::move(serving)](std::shared_ptr<http::Exchange> exchange) {
    auto request = anthropic::ParseCountTokensRequest(exchange->request().body);
    if (!request) {
      exchange->Respond(anthropic::ErrorResponse(request.error()));
      return;
    }
    LogUnknown(*serving, *exchange, request->unknown);
    WithModel(serving, request->model, anthropic::ErrorResponse, std::move(exchange),
              [conversation = std::move(request->conversation)](
                  const engine::Service& service) -> api::ApiResult<http::Response> {
                auto prepared = api::PrepareTask(service, {.input = conversation});
                if (!prepared) {
                  return tl::make_unexpected(std::move(prepared).error());
                }
                const size_t n = prepared->prompts.front().tokens.size();
                return http::Response{.body = anthropic::TokenCountBody(static_cast<uint32_t>(n))};
              });
  };
}

}  // namespace

void AddTextRoutes(http::Router& router, const ServingPtr& serving) {
  const auto add = [&](const char* path, ParseFn parse, ErrorFn error_response) {
    router.Add(
        {.method = "POST", .path = path, .handler = TaskHandler(serving, parse, error_response)});
  };
  add("/v1/chat/completions", openai::ParseChatRequest, openai::ErrorResponse);
  add("/v1/completions", openai::ParseCompletionRequest, openai::ErrorResponse);
  add("/v1/responses", api::responses::ParseResponsesRequest, openai::ErrorResponse);
  add("/v1/messages", anthropic::ParseMessagesRequest, anthropic::ErrorResponse);
  router.Add({.method = "POST",
              .path = "/v1/messages/count_tokens",
              .handler = CountTokensHandler(serving)});
}

}  // namespace plimsoll::server
