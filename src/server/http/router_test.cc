#include "server/http/router.h"

#include <gmock/gmock.h>

namespace plimsoll::server::http {
namespace {

Router MakeRouter() {
  Router router;
  router.Add({.method = "GET", .path = "/v1/models", .handler = {}});
  router.Add({.method = "GET", .path = "/v1/models/*", .handler = {}});
  router.Add({.method = "POST", .path = "/v1/models", .handler = {}});
  return router;
}

TEST(Router, FindsByMethodAndPath) {
  const Router router = MakeRouter();
  ASSERT_NE(router.Find("GET", "/v1/models").route, nullptr);
  EXPECT_EQ(router.Find("GET", "/v1/models").route->path, "/v1/models");
  EXPECT_EQ(router.Find("GET", "/v1/models/a/b").route->path, "/v1/models/*");
  EXPECT_EQ(router.Find("POST", "/v1/models").route->method, "POST");
}

TEST(Router, NamesTheMethodsOfAKnownPath) {
  const Router router = MakeRouter();
  const auto match = router.Find("DELETE", "/v1/models");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(match.allowed, "GET, POST");
}

TEST(Router, KnowsNothingElse) {
  const Router router = MakeRouter();
  for (const char* path : {"/", "/v1/model", "/v1/models/", "/v1/modelsx", "/V1/models", ""}) {
    EXPECT_EQ(router.Find("GET", path).route, nullptr) << path;
    EXPECT_EQ(router.Find("GET", path).allowed, "") << path;
  }
}

}  // namespace
}  // namespace plimsoll::server::http
