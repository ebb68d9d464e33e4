#include "server/http/request_parser.h"

#include <gmock/gmock.h>

namespace plimsoll::server::http {
namespace {

using State = RequestParser::State;

struct Parsed {
  State state = State::kHead;
  unsigned status = 0;
  std::string body;
  std::string path;
  size_t n_unused = 0;
};

// In pieces of `piece` bytes, as a connection gives them: what is not used comes again.
Parsed ParseInPieces(std::string_view text, size_t piece, const Limits& limits = {},
                     const ChargeFn& charge = {}) {
  RequestParser parser(limits, charge);
  std::string in;
  size_t taken = 0;
  while (parser.state() != State::kDone && parser.state() != State::kFailed) {
    const size_t n_used = parser.Put(in);
    in.erase(0, n_used);
    if (n_used == 0 || in.empty()) {
      if (taken == text.size()) {
        break;
      }
      in += text.substr(taken, piece);
      taken = std::min(taken + piece, text.size());
    }
  }
  Parsed parsed = {.state = parser.state(),
                   .status = parser.error().status,
                   .body = parser.request().body,
                   .path = parser.request().path,
                   .n_unused = text.size() - taken + in.size()};
  if (const uint64_t bytes = parser.TakeBodyCharge(); bytes > 0 && charge) {
    EXPECT_TRUE(charge(-static_cast<int64_t>(bytes)));
  }
  return parsed;
}

constexpr std::string_view kChunked =
    "\r\nPOST /a%62?q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n10;x=\"y\"\r\n0123456789abcdef\r\n0\r\nHost: evil\r\n\r\nGET / next";

TEST(RequestParser, ReadsTheSameHoweverTheBytesCome) {
  for (size_t piece = 1; piece <= kChunked.size(); ++piece) {
    const Parsed parsed = ParseInPieces(kChunked, piece);
    ASSERT_EQ(parsed.state, State::kDone) << piece;
    EXPECT_EQ(parsed.body, "abc0123456789abcdef");
    EXPECT_EQ(parsed.path, "/ab");
    EXPECT_EQ(parsed.n_unused, 10U);
  }
}

TEST(RequestParser, ACutRequestIsNeverWhole) {
  const std::string_view whole = kChunked.substr(0, kChunked.size() - 10);
  for (size_t n = 0; n < whole.size(); ++n) {
    const Parsed parsed = ParseInPieces(whole.substr(0, n), 7);
    EXPECT_TRUE(parsed.state == State::kHead || parsed.state == State::kBody) << n;
  }
}

TEST(RequestParser, HeadersAreInLowerCaseAndTrailersAreForgotten) {
  const Limits limits;
  const ChargeFn charge;
  RequestParser parser(limits, charge);
  std::string in =
      "POST / HTTP/1.1\r\nHOST: h\r\nX-Two:  spaced \r\nx-two: again\r\nTransfer-Encoding: "
      "Chunked\r\n\r\n";
  EXPECT_EQ(parser.Put(in), in.size());
  EXPECT_EQ(parser.state(), State::kBody);
  EXPECT_EQ(parser.request().Header("x-two"), "spaced");
  EXPECT_EQ(parser.Put("0\r\nX-Late: y\r\n\r\n"), 16U);
  EXPECT_EQ(parser.state(), State::kDone);
  EXPECT_FALSE(parser.request().Header("x-late"));
  EXPECT_TRUE(parser.keep_alive());
}

TEST(RequestParser, RefusesWhatTwoReadersCouldReadTwoWays) {
  const auto status = [](const std::string& headers, const std::string& body = "x") {
    const Parsed parsed =
        ParseInPieces("POST / HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body, 4096);
    return parsed.state == State::kFailed ? parsed.status : 0;
  };
  EXPECT_EQ(status("Content-Length: 1\r\n"), 0U);
  for (const char* headers :
       {"Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1,1\r\n", "Content-Length: -1\r\n", "Content-Length: 0x1\r\n",
        "Content-Length: \r\n", "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 18446744073709551617\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Host: h\r\n",
        " folded: x\r\n", "X : y\r\n", "X\r\n", ": y\r\n", "X: a\rb\r\n", "X: a\nb\r\n",
        "X: \x01\r\n"}) {
    EXPECT_EQ(status(headers), 400U) << headers;
  }
  for (const char* headers :
       {"Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n"}) {
    EXPECT_EQ(status(headers), 501U) << headers;
  }
  EXPECT_EQ(status("Content-Encoding: gzip\r\nContent-Length: 1\r\n"), 415U);
  EXPECT_EQ(status(std::string("X: a\0b\r\n", 8)), 400U);
}

TEST(RequestParser, EndlessChunkHeadsAndTrailersAreRefused) {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(ParseInPieces(head + "1;" + std::string(20000, 'x'), 1000).status, 400U);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 3000; ++i) {
    trailers += "a: b\r\n";
  }
  EXPECT_EQ(ParseInPieces(head + trailers, 1000).status, 400U);
}

TEST(RequestParser, ChargesTheBodyBeforeItIsTaken) {
  int64_t charged = 0;
  int64_t most = 0;
  int64_t room = 100'000;
  const ChargeFn charge = [&](int64_t bytes) {
    if (charged + bytes > room) {
      return false;
    }
    charged += bytes;
    most = std::max(most, charged);
    return true;
  };
  const auto post = [](size_t n) {
    return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(n) + "\r\n\r\n" +
           std::string(n, 'x');
  };
  EXPECT_EQ(ParseInPieces(post(60'000), 1000, {}, charge).state, State::kDone);
  EXPECT_GE(most, 60'000);
  EXPECT_EQ(charged, 0);
  const Parsed refused = ParseInPieces(post(200'000), 1000, {}, charge);
  EXPECT_EQ(refused.state, State::kFailed);
  EXPECT_EQ(charged, 0);
  // A length that is only said costs nothing.
  most = 0;
  ParseInPieces(post(200'000).substr(0, 1000), 1000, {}, charge);
  EXPECT_LE(most, 4096);
}

}  // namespace
}  // namespace plimsoll::server::http
