#include "server/http/response_head.h"

#include <algorithm>
#include <array>
#include <ctime>

#include <fmt/format.h>

#include "server/http/http_error.h"

namespace plimsoll::server::http {
namespace {

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsHeaderName(std::string_view name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](char c) { return IsAlphanumeric(c) || c == '-'; });
}

bool IsHeaderValue(std::string_view value) {
  return std::ranges::all_of(value, [](char c) { return c >= ' ' && c < 0x7f; });
}

void AddHeader(std::string& head, std::string_view name, std::string_view value) {
  if (IsHeaderName(name) && IsHeaderValue(value)) {
    head.append(name).append(": ").append(value).append("\r\n");
  }
}

// As in "Sat, 21 Nov 2026 19:24:52 GMT".
std::string HttpDate(double unix_seconds) {
  constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                     "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto seconds = static_cast<std::time_t>(unix_seconds);
  std::tm utc = {};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<size_t>(utc.tm_wday)], utc.tm_mday,
                     kMonths[static_cast<size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

bool HasBody(unsigned status) { return status >= 200 && status != 204 && status != 304; }

}  // namespace

std::string FormatHead(const Response& response, const HeadFacts& facts) {
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, ReasonPhrase(response.status));
  AddHeader(head, "Date", HttpDate(facts.unix_seconds));
  if (HasBody(response.status)) {
    AddHeader(head, "Content-Type", response.content_type);
    if (facts.content_length) {
      AddHeader(head, "Content-Length", fmt::format("{}", *facts.content_length));
    } else if (!facts.is_http_1_0) {
      AddHeader(head, "Transfer-Encoding", "chunked");
    }
  }
  if (!facts.keep_alive) {
    AddHeader(head, "Connection", "close");
  } else if (facts.is_http_1_0) {
    AddHeader(head, "Connection", "keep-alive");
  }
  AddHeader(head, "X-Request-Id", facts.request_id);
  AddHeader(head, "X-Content-Type-Options", "nosniff");
  if (std::ranges::none_of(response.headers,
                           [](const auto& h) { return h.first == "Cache-Control"; })) {
    AddHeader(head, "Cache-Control", "no-store");
  }
  for (const auto& [name, value] : response.headers) {
    AddHeader(head, name, value);
  }
  for (const auto& [name, value] : facts.cors) {
    AddHeader(head, name, value);
  }
  return head + "\r\n";
}

bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) {
    return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace plimsoll::server::http
