#include "server/http/access_rules.h"

#include <algorithm>
#include <array>

#include <arpa/inet.h>

namespace plimsoll::server::http {
namespace {

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return lower;
}

bool IsPort(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
         c == ':';
}

// "::ffff:127.0.0.1" and "127.0.0.1", or "::1" and "0:0:0:0:0:0:0:1", are one address.
std::optional<std::array<uint8_t, 16>> AddressBytes(const std::string& text) {
  std::array<uint8_t, 16> bytes = {};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
    return bytes;
  }
  bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1) {
    return bytes;
  }
  return std::nullopt;
}

bool IsLoopback(const std::string& name) {
  if (name == "localhost" || name.ends_with(".localhost")) {
    return true;
  }
  const auto address = AddressBytes(name);
  return address && ((*address == *AddressBytes("::1")) ||
                     ((*address)[10] == 0xff && (*address)[11] == 0xff && (*address)[12] == 127));
}

bool SameHost(const std::string& name, const std::string& other) {
  if (name == other) {
    return true;
  }
  const auto address = AddressBytes(name);
  return address && address == AddressBytes(other);
}

// "https://chat.example:8443" and nothing behind it.
bool IsOrigin(std::string_view text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos || scheme == 0) {
    return false;
  }
  const std::string_view authority = text.substr(scheme + 3);
  return authority.find('/') == std::string_view::npos && HostName(authority).has_value();
}

HttpError Foreign() {
  return {
      .status = 403,
      .code = "origin_not_allowed",
      .message = "pages of this origin may not use this server; --cors-origin ORIGIN lets them"};
}

}  // namespace

std::optional<std::string> HostName(std::string_view host) {
  std::string name;
  std::string_view rest;
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    if (end == std::string_view::npos) {
      return std::nullopt;
    }
    name = LowerCase(host.substr(1, end - 1));
    rest = host.substr(end + 1);
  } else {
    const size_t colon = std::min(host.find(':'), host.size());
    name = LowerCase(host.substr(0, colon));
    rest = host.substr(colon);
  }
  if (name.ends_with('.')) {
    name.pop_back();
  }
  const bool has_port = rest.starts_with(':');
  if (name.empty() || !std::ranges::all_of(name, IsHostCharacter) ||
      (has_port ? !IsPort(rest.substr(1)) : !rest.empty())) {
    return std::nullopt;
  }
  return name;
}

Result<AccessRules> AccessRules::Create(AccessOptions options) {
  for (std::string& origin : options.cors_origins) {
    origin = LowerCase(origin);
    if (origin != "*" && !IsOrigin(origin)) {
      return Fail(ErrorKind::kUsage,
                  "--cors-origin takes * or an origin such as https://chat.example:8443, without a "
                  "path");
    }
  }
  for (std::string& host : options.allowed_hosts) {
    const auto name = HostName(host);
    if (host != "*" && !name) {
      return Fail(ErrorKind::kUsage, "--allowed-host takes a host name or address, or *");
    }
    host = host == "*" ? host : *name;
  }
  options.host = LowerCase(options.host);
  return AccessRules(std::move(options));
}

const std::string* AccessRules::FindOrigin(std::string_view origin) const {
  const std::string name = LowerCase(origin);
  const auto found = std::ranges::find_if(
      o_.cors_origins, [&](const std::string& known) { return known == "*" || known == name; });
  return found == o_.cors_origins.end() ? nullptr : &*found;
}

std::optional<HttpError> AccessRules::CheckSender(const Request& request,
                                                  const Entrance& entrance) const {
  const auto host = request.Header("host");
  // No web page comes through a unix socket, and one without a Host is no browser's request.
  if (!entrance.local_address.empty() && host) {
    const auto name = HostName(*host);
    if (!name) {
      return HttpError{
          .status = 400, .code = "bad_host", .message = "the Host header is malformed"};
    }
    const bool known = IsLoopback(*name) || SameHost(*name, o_.host) ||
                       SameHost(*name, entrance.local_address) ||
                       std::ranges::any_of(o_.allowed_hosts, [&](const std::string& allowed) {
                         return allowed == "*" || SameHost(*name, allowed);
                       });
    if (!known) {
      return HttpError{.status = 403,
                       .code = "host_not_allowed",
                       .message =
                           "this server does not go by the name in the Host header; "
                           "--allowed-host NAME lets it"};
    }
  }
  const auto origin = request.Header("origin");
  if (!origin) {
    return std::nullopt;
  }
  const std::string own =
      std::string(entrance.is_tls ? "https://" : "http://") + std::string(host.value_or(""));
  const bool is_own =
      host && !entrance.local_address.empty() && LowerCase(*origin) == LowerCase(own);
  return is_own || FindOrigin(*origin) != nullptr ? std::nullopt : std::optional(Foreign());
}

std::optional<HttpError> AccessRules::CheckKey(const Request& request) const {
  if (o_.keys.empty() || o_.keys.Admit(request)) {
    return std::nullopt;
  }
  return HttpError{.status = 401,
                   .code = "invalid_api_key",
                   .message = "this server wants an API key: send Authorization: Bearer KEY"};
}

std::vector<std::pair<std::string, std::string>> AccessRules::CorsHeaders(
    const Request& request) const {
  const auto origin = request.Header("origin");
  const std::string* const known = origin ? FindOrigin(*origin) : nullptr;
  std::vector<std::pair<std::string, std::string>> headers;
  if (known != nullptr) {
    headers.emplace_back("Access-Control-Allow-Origin", *known);
    headers.emplace_back("Access-Control-Expose-Headers", "x-request-id, retry-after");
  }
  if (!o_.cors_origins.empty()) {
    headers.emplace_back("Vary", "Origin");
  }
  return headers;
}

bool AccessRules::IsPreflight(const Request& request) {
  return request.method == "OPTIONS" && request.Header("origin") &&
         request.Header("access-control-request-method");
}

Response AccessRules::AnswerPreflight(const Request& request, std::string_view methods) const {
  Response response;
  response.status = 204;
  response.headers.emplace_back("Access-Control-Allow-Methods", methods);
  // The star does not stand for authorization.
  response.headers.emplace_back("Access-Control-Allow-Headers", "authorization, *");
  response.headers.emplace_back("Access-Control-Max-Age", "600");
  if (request.Header("access-control-request-private-network") == "true") {
    response.headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  }
  return response;
}

}  // namespace plimsoll::server::http
