#include "server/http/access_rules.h"

#include <gmock/gmock.h>

namespace plimsoll::server::http {
namespace {

using testing::Contains;
using testing::Pair;

Request With(std::vector<std::pair<std::string, std::string>> headers, std::string method = "GET") {
  Request request;
  request.method = std::move(method);
  request.headers = std::move(headers);
  return request;
}

AccessRules RulesOf(AccessOptions options) {
  auto rules = AccessRules::Create(std::move(options));
  EXPECT_TRUE(rules);
  return *std::move(rules);
}

const Entrance kLoopback = {.local_address = "127.0.0.1"};

TEST(HostName, IsAHostWithAnOptionalPort) {
  EXPECT_EQ(HostName("LOCALHOST:80"), "localhost");
  EXPECT_EQ(HostName("a.example."), "a.example");
  EXPECT_EQ(HostName("[::1]:80"), "::1");
  EXPECT_EQ(HostName("[::1]"), "::1");
  for (const char* bad : {"", ":80", "a:", "a:b", "a:123456", "[::1", "[::1]x", "a/b", "a b", "a@b",
                          "a,b", "::1", "a%00"}) {
    EXPECT_EQ(HostName(bad), std::nullopt) << bad;
  }
}

TEST(AccessRules, KnowsTheNamesThatAServerGoesBy) {
  const AccessRules rules =
      RulesOf({.host = "0.0.0.0", .allowed_hosts = {"Box.lan"}, .cors_origins = {}, .keys = {}});
  const Entrance lan = {.local_address = "192.168.1.5"};
  const auto status = [&](const char* host, const Entrance& entrance) {
    const auto refused = rules.CheckSender(With({{"host", host}}), entrance);
    return refused ? refused->status : 0;
  };
  for (const char* host : {"localhost", "LocalHost:8642", "a.localhost", "127.0.0.1", "127.9.9.9:1",
                           "[::1]:8642", "[0:0::1]", "box.lan", "box.lan.:80"}) {
    EXPECT_EQ(status(host, kLoopback), 0U) << host;
  }
  EXPECT_EQ(status("192.168.1.5:8642", lan), 0U);
  EXPECT_EQ(status("[::ffff:192.168.1.5]", lan), 0U);
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                           "192.168.1.6", "xbox.lan", "notlocalhost"}) {
    EXPECT_EQ(status(host, lan), 403U) << host;
  }
  EXPECT_EQ(status("a b", lan), 400U);
  EXPECT_EQ(status("evil.example", {}), 0U) << "a unix socket";
  const AccessRules any =
      RulesOf({.host = "x", .allowed_hosts = {"*"}, .cors_origins = {}, .keys = {}});
  EXPECT_FALSE(any.CheckSender(With({{"host", "evil.example"}}), lan));
}

TEST(AccessRules, PagesOfOtherOriginsAreRefused) {
  const AccessRules rules = RulesOf({.host = "127.0.0.1",
                                     .allowed_hosts = {},
                                     .cors_origins = {"https://Chat.example:8443"},
                                     .keys = {}});
  const auto is_allowed = [&](const char* origin, const char* host = "localhost:8642",
                              bool is_tls = false) {
    return !rules.CheckSender(With({{"host", host}, {"origin", origin}}),
                              {.local_address = "127.0.0.1", .is_tls = is_tls});
  };
  EXPECT_TRUE(is_allowed("http://localhost:8642"));
  EXPECT_TRUE(is_allowed("https://localhost:8642", "localhost:8642", true));
  EXPECT_TRUE(is_allowed("https://chat.example:8443"));
  for (const char* origin :
       {"null", "", "http://localhost:3000", "https://localhost:8642", "http://127.0.0.1:8642",
        "https://chat.example", "http://chat.example:8443",
        "https://chat.example:8443.evil.example", "https://chat.example:84430",
        "http://localhost:8642.evil.example", "file://"}) {
    EXPECT_FALSE(is_allowed(origin)) << origin;
  }
}

TEST(AccessRules, TellsBrowsersOnlyWhatTheOptionsSay) {
  const AccessRules some = RulesOf({.host = "127.0.0.1",
                                    .allowed_hosts = {},
                                    .cors_origins = {"https://a.example", "https://b.example"},
                                    .keys = {}});
  EXPECT_THAT(some.CorsHeaders(With({{"origin", "https://B.example"}})),
              Contains(Pair("Access-Control-Allow-Origin", "https://b.example")));
  EXPECT_THAT(some.CorsHeaders(With({})), testing::ElementsAre(Pair("Vary", "Origin")));
  const AccessRules all =
      RulesOf({.host = "127.0.0.1", .allowed_hosts = {}, .cors_origins = {"*"}, .keys = {}});
  const Request page = With({{"origin", "https://x.example"},
                             {"access-control-request-method", "POST"},
                             {"access-control-request-private-network", "true"}},
                            "OPTIONS");
  EXPECT_THAT(all.CorsHeaders(page), Contains(Pair("Access-Control-Allow-Origin", "*")));
  EXPECT_TRUE(AccessRules::IsPreflight(page));
  EXPECT_FALSE(AccessRules::IsPreflight(With({{"origin", "https://x.example"}}, "OPTIONS")));
  const Response answer = all.AnswerPreflight(page, "GET, POST");
  EXPECT_EQ(answer.status, 204U);
  EXPECT_THAT(answer.headers, Contains(Pair("Access-Control-Allow-Methods", "GET, POST")));
  EXPECT_THAT(answer.headers, Contains(Pair("Access-Control-Allow-Private-Network", "true")));
  const AccessRules none =
      RulesOf({.host = "127.0.0.1", .allowed_hosts = {}, .cors_origins = {}, .keys = {}});
  EXPECT_THAT(none.CorsHeaders(page), testing::IsEmpty());
}

TEST(AccessRules, OptionsThatAreNoneAreRefused) {
  for (const char* origin : {"chat.example", "https://", "https://a/b", "https://a b", "://a"}) {
    const auto rules = AccessRules::Create(
        {.host = "", .allowed_hosts = {}, .cors_origins = {origin}, .keys = {}});
    ASSERT_FALSE(rules) << origin;
    EXPECT_EQ(rules.error().kind, ErrorKind::kUsage);
  }
  EXPECT_FALSE(
      AccessRules::Create({.host = "", .allowed_hosts = {"a/b"}, .cors_origins = {}, .keys = {}}));
}

}  // namespace
}  // namespace plimsoll::server::http
