// llama-server's routes about tokens: /tokenize, /detokenize, /apply-template.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "server/api/openai/replies.h"
#include "server/api/openai/requests.h"
#include "server/api/prepare_task.h"
#include "server/server.h"

namespace plimsoll::server {
namespace {

namespace openai = api::openai;

http::Handler TokenizeHandler(ServingPtr serving) {
  return [serving = std::move(serving)](std::shared_ptr<http::Exchange> exchange) {
    auto request = openai::ParseTokenizeRequest(exchange->request().body);
    if (!request) {
      exchange->Respond(openai::ErrorResponse(request.error()));
      return;
    }
    const std::string model = request->model;
    WithModel(serving, model, openai::ErrorResponse, std::move(exchange),
              [request = *std::move(request)](
                  const engine::Service& service) -> api::ApiResult<http::Response> {
                const text::Tokenizer& tokenizer = service.tokenizer();
                const auto tokens = tokenizer.Encode(
                    request.content,
                    {.add_bos_eos = request.add_special, .parse_special = request.parse_special});
                return http::Response{
                    .body = openai::TokenizeReply(tokens, request.with_pieces, tokenizer)};
              });
  };
}

http::Handler DetokenizeHandler(ServingPtr serving) {
  return [serving = std::move(serving)](std::shared_ptr<http::Exchange> exchange) {
    auto request = openai::ParseDetokenizeRequest(exchange->request().body);
    if (!request) {
      exchange->Respond(openai::ErrorResponse(request.error()));
      return;
    }
    const std::string model = request->model;
    WithModel(
        serving, model, openai::ErrorResponse, std::move(exchange),
        [tokens = std::move(request->tokens)](
            const engine::Service& service) -> api::ApiResult<http::Response> {
          const text::Tokenizer& tokenizer = service.tokenizer();
          const auto n = static_cast<TokenId>(tokenizer.size());
          if (std::ranges::any_of(tokens, [n](TokenId id) { return id < 0 || id >= n; })) {
            return tl::make_unexpected(api::ApiError{
                .message =
                    fmt::format("an id is none of the vocabulary, which has ids 0 to {}", n - 1),
                .code = "invalid_token",
                .param = "tokens"});
          }
          return http::Response{.body = openai::DetokenizeReply(tokenizer.Decode(tokens, true))};
        });
  };
}

http::Handler ApplyTemplateHandler(ServingPtr serving) {
  return [serving = std::move(serving)](std::shared_ptr<http::Exchange> exchange) {
    auto request = openai::ParseChatRequest(exchange->request().body);
    if (!request) {
      exchange->Respond(openai::ErrorResponse(request.error()));
      return;
    }
    const std::string model = request->task.model;
    WithModel(
        serving, model, openai::ErrorResponse, std::move(exchange),
        [task = std::move(request->task)](
            const engine::Service& service) -> api::ApiResult<http::Response> {
          auto prepared = api::PrepareTask(service, task);
          if (!prepared) {
            return tl::make_unexpected(std::move(prepared).error());
          }
          return http::Response{.body = openai::ApplyTemplateReply(prepared->prompts.front().text)};
        });
  };
}

}  // namespace

void AddTokenRoutes(http::Router& router, const ServingPtr& serving) {
  router.Add({.method = "POST", .path = "/tokenize", .handler = TokenizeHandler(serving)});
  router.Add({.method = "POST", .path = "/detokenize", .handler = DetokenizeHandler(serving)});
  router.Add(
      {.method = "POST", .path = "/apply-template", .handler = ApplyTemplateHandler(serving)});
}

}  // namespace plimsoll::server
