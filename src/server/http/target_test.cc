#include "server/http/target.h"

#include <gmock/gmock.h>

namespace plimsoll::server::http {
namespace {

TEST(ParseTarget, DecodesThePathAndKeepsTheQuery) {
  const auto plain = ParseTarget("/v1/models", "h");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->path, "/v1/models");
  EXPECT_EQ(plain->query, "");
  const auto encoded = ParseTarget("/m/a%20b%2Fc%C3%A9?x=%zz&y=%00", "h");
  ASSERT_TRUE(encoded);
  EXPECT_EQ(encoded->path, "/m/a b/c\xc3\xa9");
  EXPECT_EQ(encoded->query, "x=%zz&y=%00");
  EXPECT_EQ(ParseTarget("/?", "h")->path, "/");
  EXPECT_EQ(ParseTarget("/a...b/.c", "h")->path, "/a...b/.c");
  EXPECT_EQ(ParseTarget("*", "h")->path, "*");
}

TEST(ParseTarget, TakesTheWholeUrlOfItsOwnHost) {
  EXPECT_EQ(ParseTarget("http://Host:1/p?q", "host:1")->path, "/p");
  EXPECT_EQ(ParseTarget("https://host/p", "host")->path, "/p");
  EXPECT_FALSE(ParseTarget("http://other/p", "host"));
  EXPECT_FALSE(ParseTarget("http://host", "host"));
  EXPECT_FALSE(ParseTarget("http:///p", ""));
}

TEST(ParseTarget, RefusesWhatIsNotStrictlyAPath) {
  for (const char* target :
       {"",           "v1",      "//..",   "/..",         "/a/../b",   "/a/..", "/./a",
        "/%2e%2e/a",  "/a/%2E",  "/%",     "/%2",         "/%2g",      "/%00",  "/%0a",
        "/%7f",       "/a b",    "/a\\b",  "/a#b",        "/\xc3\xa9", "/%c3",  "/%ff",
        "/%ed%a0%80", "/%c0%af", "/a\x01", "ftp://host/a"}) {
    const auto parsed = ParseTarget(target, "host");
    ASSERT_FALSE(parsed) << target;
    EXPECT_EQ(parsed.error().status, 400U);
  }
}

}  // namespace
}  // namespace plimsoll::server::http
