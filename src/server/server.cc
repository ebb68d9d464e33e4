#include "server/server.h"

namespace plimsoll::server {

http::Router MakeRoutes(const ServingPtr& serving) {
  http::Router router;
  AddTextRoutes(router, serving);
  AddEmbedRoutes(router, serving);
  AddTokenRoutes(router, serving);
  AddModelRoutes(router, serving);
  AddOllamaRoutes(router, serving);
  AddStatusRoutes(router, serving);
  return router;
}

}  // namespace plimsoll::server
