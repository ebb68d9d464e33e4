#include "server/http/router.h"

#include <algorithm>

namespace plimsoll::server::http {
namespace {

bool Covers(const Route& route, std::string_view path) {
  std::string_view pattern = route.path;
  if (pattern.ends_with("/*")) {
    pattern.remove_suffix(1);
    return path.starts_with(pattern) && path.size() > pattern.size();
  }
  return path == pattern;
}

}  // namespace

void Router::Add(Route route) { routes_.push_back(std::move(route)); }

Router::Match Router::Find(std::string_view method, std::string_view path) const {
  Match match;
  for (const Route& route : routes_) {
    if (!Covers(route, path)) {
      continue;
    }
    if (route.method == method) {
      return {.route = &route, .allowed = {}};
    }
    match.allowed += (match.allowed.empty() ? "" : ", ") + route.method;
  }
  return match;
}

}  // namespace plimsoll::server::http
