// GET /v1/models and /v1/models/{id}.
#include <algorithm>
#include <utility>

#include "server/api/openai/replies.h"
#include "server/server.h"

namespace plimsoll::server {
namespace {

namespace openai = api::openai;

constexpr std::string_view kModelsPath = "/v1/models/";

openai::ModelEntry EntryOf(const ModelListing& listing) {
  return {.id = listing.name, .created = listing.created, .owned_by = "plimsoll"};
}

}  // namespace

void AddModelRoutes(http::Router& router, const ServingPtr& serving) {
  router.Add({.method = "GET",
              .path = "/v1/models",
              .handler = [serving](const std::shared_ptr<http::Exchange>& exchange) {
                std::vector<openai::ModelEntry> entries;
                std::ranges::transform(serving->models->List(), std::back_inserter(entries),
                                       EntryOf);
                exchange->Respond({.body = openai::ModelList(entries)});
              }});
  router.Add({.method = "GET",
              .path = std::string(kModelsPath) + "*",
              .handler = [serving](const std::shared_ptr<http::Exchange>& exchange) {
                const auto name =
                    std::string_view(exchange->request().path).substr(kModelsPath.size());
                const auto all = serving->models->List();
                const auto it = std::ranges::find(all, name, &ModelListing::name);
                if (it == all.end()) {
                  exchange->Respond(openai::ErrorResponse({.status = 404,
                                                           .message = "there is no such model",
                                                           .code = "model_not_found",
                                                           .param = "model",
                                                           .may_retry = false}));
                  return;
                }
                exchange->Respond({.body = openai::ModelObject(EntryOf(*it))});
              }});
}

}  // namespace plimsoll::server
