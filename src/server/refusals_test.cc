#include "server/refusals.h"

#include <gtest/gtest.h>

#include "server/health.h"

namespace plimsoll::server {
namespace {

constexpr auto kNoKey = "there is no such \"key\"";

TEST(Refusals, EachPathHasItsDialect) {
  const http::HttpError error = {.status = 401, .code = "invalid_api_key", .message = kNoKey};
  const std::string openai = http::ErrorBody(error);
  for (const char* path : {"", "/", "/v1/chat/completions", "/v1/message", "/metrics", "/api"}) {
    EXPECT_EQ(RefusalBody(error, path), openai) << path;
  }
  EXPECT_EQ(RefusalBody(error, "/v1/messages/count_tokens"),
            R"({"type":"error","error":{"type":"authentication_error",)"
            R"("message":"there is no such \"key\""}})");
  EXPECT_EQ(RefusalBody(error, "/api/chat"), R"({"error":"there is no such \"key\""})");
}

TEST(Refusals, WhileItLoadsToo) {
  const Health health;
  EXPECT_EQ(health.Refuse("/v1/models").body, health.Describe().body);
  EXPECT_EQ(health.Refuse("/api/tags").body, R"({"error":"the model is being loaded"})");
  EXPECT_EQ(health.Refuse("/api/tags").status, 503U);
}

}  // namespace
}  // namespace plimsoll::server
