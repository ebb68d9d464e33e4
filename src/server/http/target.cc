#include "server/http/target.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"

namespace plimsoll::server::http {
namespace {

tl::unexpected<HttpError> BadTarget(std::string_view why) {
  return tl::unexpected(HttpError{
      .status = 400, .code = "bad_target", .message = "the request's target " + std::string(why)});
}

std::optional<unsigned> HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return static_cast<unsigned>(c - '0');
  }
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') {
    return static_cast<unsigned>(lower - 'a') + 10;
  }
  return std::nullopt;
}

bool StandsForItself(char c) { return c > ' ' && c < 0x7f && c != '\\' && c != '#'; }

std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) {
      return std::nullopt;
    }
    const auto high = HexDigit(text[i + 1]);
    const auto low = HexDigit(text[i + 2]);
    if (!high || !low) {
      return std::nullopt;
    }
    decoded.push_back(static_cast<char>(*high * 16 + *low));
    i += 2;
  }
  return decoded;
}

bool HasDotSegment(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // "/"
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == "..") {
      return true;
    }
    path.remove_prefix(segment.size());
  }
  return false;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }

// Of "http://host/path" what is behind the host; empty when the host is another.
std::optional<std::string_view> WithoutOrigin(std::string_view target, std::string_view host) {
  target.remove_prefix(target.find("//") + 2);
  const size_t end = std::min(target.find_first_of("/?"), target.size());
  const std::string_view authority = target.substr(0, end);
  const bool same = std::ranges::equal(authority, host, [](char a, char b) {
    const auto lower = [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    };
    return lower(a) == lower(b);
  });
  return same && !host.empty() ? std::optional(target.substr(end)) : std::nullopt;
}

}  // namespace

tl::expected<Target, HttpError> ParseTarget(std::string_view target, std::string_view host) {
  if (target == "*") {
    return Target{.path = "*", .query = {}};
  }
  if (!std::ranges::all_of(target, StandsForItself)) {
    return BadTarget("has characters that must be percent-encoded");
  }
  if (target.starts_with("http://") || target.starts_with("https://")) {
    const auto rest = WithoutOrigin(target, host);
    if (!rest) {
      return BadTarget("names another host than the Host header");
    }
    target = *rest;
    if (!target.starts_with('/')) {
      return BadTarget("has no path");
    }
  }
  if (!target.starts_with('/')) {
    return BadTarget("does not begin with a slash");
  }
  const size_t question = std::min(target.find('?'), target.size());
  auto path = Decode(target.substr(0, question));
  if (!path) {
    return BadTarget("has a percent sign without two hex digits");
  }
  if (std::ranges::any_of(*path, IsControl) || !IsUtf8(*path)) {
    return BadTarget("decodes to control characters or to what is not UTF-8");
  }
  if (HasDotSegment(*path)) {
    return BadTarget("has a segment . or ..");
  }
  return Target{.path = std::move(*path),
                .query = std::string(target.substr(std::min(question + 1, target.size())))};
}

}  // namespace plimsoll::server::http
