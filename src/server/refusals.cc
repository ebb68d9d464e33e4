#include "server/refusals.h"

#include "server/api/anthropic/replies.h"
#include "server/api/ollama/replies.h"

namespace plimsoll::server {

std::string RefusalBody(const http::HttpError& error, std::string_view path) {
  const api::ApiError for_dialect = {
      .status = error.status, .message = error.message, .code = error.code};
  if (path.starts_with("/v1/messages")) {
    return api::anthropic::ErrorBody(for_dialect);
  }
  if (path.starts_with("/api/")) {
    return api::ollama::ErrorBody(for_dialect);
  }
  return http::ErrorBody(error);
}

}  // namespace plimsoll::server
