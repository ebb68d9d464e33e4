// Which handler a request goes to.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/exchange.h"

namespace plimsoll::server::http {

struct Route {
  std::string method;
  std::string path;  // exact; one that ends in "/*" has everything below it
  Handler handler;
  bool open = false;  // answered without a key
  // Called by the thread that serves all connections: it must return at once. Answered whatever
  // else there is to do.
  bool quick = false;
};

class Router {
 public:
  void Add(Route route);
  [[nodiscard]] std::span<const Route> routes() const { return routes_; }

  struct Match {
    const Route* route = nullptr;  // null: none
    std::string allowed;           // of a known path with another method: "GET, POST"
  };
  [[nodiscard]] Match Find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace plimsoll::server::http
