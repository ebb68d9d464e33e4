#include "server/refusals.h"

#include "server/api/anthropic/replies.h"
#include "server/api/ollama/replies.h"

namespace plimsoll::server {

namespace {

bool IsAnthropics(std::string_view path) { return path.starts_with("/v1/messages"); }
bool IsOllamas(std::string_view path) { return path.starts_with("/api/"); }

}  // namespace

bool HasOwnRefusals(std::string_view path) { return IsAnthropics(path) || IsOllamas(path); }

std::string RefusalBody(const http::HttpError& error, std::string_view path) {
  const api::ApiError for_dialect = {
      .status = error.status, .message = error.message, .code = error.code};
  if (IsAnthropics(path)) {
    return api::anthropic::ErrorBody(for_dialect);
  }
  if (IsOllamas(path)) {
    return api::ollama::ErrorBody(for_dialect);
  }
  return http::ErrorBody(error);
}

}  // namespace plimsoll::server
