// All routes of a server but those about its health (health.h).
#pragma once

#include "server/http/router.h"
#include "server/serving.h"

namespace plimsoll::server {

[[nodiscard]] http::Router MakeRoutes(const ServingPtr& serving);

// By subject. Each is in a file of its own under routes/.
void AddTextRoutes(http::Router& router, const ServingPtr& serving);  // chat, completions, ...
void AddEmbedRoutes(http::Router& router, const ServingPtr& serving);
void AddTokenRoutes(http::Router& router, const ServingPtr& serving);   // tokenize, ...
void AddModelRoutes(http::Router& router, const ServingPtr& serving);   // /v1/models
void AddOllamaRoutes(http::Router& router, const ServingPtr& serving);  // /api/...
void AddStatusRoutes(http::Router& router, const ServingPtr& serving);  // metrics, memory, line

}  // namespace plimsoll::server
