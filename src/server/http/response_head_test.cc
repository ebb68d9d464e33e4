#include "server/http/response_head.h"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>

#include "server/http/access_log.h"

namespace plimsoll::server::http {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(FormatHead, LeavesOutWhatIsNoHeader) {
  const Response response = {
      .content_type = "text/plain",
      .body = "",
      .headers = {{"Good", "a b"}, {"Bad", "a\r\nX: y"}, {"Ba d", "a"}, {"", "a"}}};
  const std::string head = FormatHead(
      response, {.request_id = "id", .content_length = 5, .cors = {}, .unix_seconds = 1795289092});
  EXPECT_THAT(head, testing::StartsWith("HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 "));
  EXPECT_THAT(head, HasSubstr("\r\nGood: a b\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nContent-Length: 5\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("Ba")));
  EXPECT_THAT(head, testing::EndsWith("\r\n\r\n"));
}

TEST(IsRequestId, TakesHarmlessCharacters) {
  EXPECT_TRUE(IsRequestId("aZ09._-"));
  EXPECT_TRUE(IsRequestId(std::string(128, 'a')));
  for (const std::string& bad : {std::string(), std::string(129, 'a'), std::string("a b"),
                                 std::string("a\n"), std::string("\xc3\xa9")}) {
    EXPECT_FALSE(IsRequestId(bad)) << bad;
  }
}

TEST(AccessLog, WritesEveryLineBeforeItEnds) {
  std::string written;
  {
    AccessLog log(LogFormat::kText, [&](std::string_view lines) { written += lines; });
    for (int i = 0; i < 100; ++i) {
      log.Add({.unix_seconds = 1.5,
               .request_id = std::to_string(i),
               .method = "GET",
               .route = "/livez",
               .status = 200,
               .bytes = 2,
               .milliseconds = 0.25,
               .peer = "127.0.0.1:9"});
    }
  }
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 100);
  EXPECT_THAT(written,
              testing::StartsWith("1970-01-01T00:00:01.500Z 127.0.0.1:9 GET /livez 200 2 B "));
}

}  // namespace
}  // namespace plimsoll::server::http
