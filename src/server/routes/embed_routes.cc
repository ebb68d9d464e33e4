// POST /v1/embeddings.
#include <utility>

#include "server/api/openai/replies.h"
#include "server/api/openai/requests.h"
#include "server/embed_texts.h"
#include "server/server.h"

namespace plimsoll::server {

void AddEmbedRoutes(http::Router& router, const ServingPtr& serving) {
  namespace openai = api::openai;
  router.Add({.method = "POST",
              .path = "/v1/embeddings",
              .handler = [serving](std::shared_ptr<http::Exchange> exchange) {
                auto request = openai::ParseEmbeddingRequest(exchange->request().body);
                if (!request) {
                  exchange->Respond(openai::ErrorResponse(request.error()));
                  return;
                }
                LogUnknown(*serving, *exchange, request->unknown);
                const auto reply = [model = request->model,
                                    base64 = request->base64](const Embedded& embedded) {
                  return http::Response{.body = openai::EmbeddingReply(model, embedded.vectors,
                                                                       base64, embedded.n_tokens)};
                };
                EmbedTexts(serving, request->model, std::move(request->inputs), {.reply = reply},
                           openai::ErrorResponse, std::move(exchange));
              }});
}

}  // namespace plimsoll::server
