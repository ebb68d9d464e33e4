// What Anthropic's /v1/messages answers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/api/task_request.h"
#include "server/http/exchange.h"

namespace plimsoll::server::api::anthropic {

// What of a request matters to its reply.
struct ReplyOptions {
  uint32_t max_tokens = 0;
  bool stream = false;
};

[[nodiscard]] std::unique_ptr<ReplyWriter> MakeReply(const ReplyIdentity& identity,
                                                     const ReplyOptions& options);

// {"type":"error","error":{"type":...,"message":...}}
[[nodiscard]] std::string ErrorBody(const ApiError& error);
[[nodiscard]] http::Response ErrorResponse(const ApiError& error);

// {"input_tokens":n}, of /v1/messages/count_tokens.
[[nodiscard]] std::string TokenCountBody(uint32_t n_tokens);

}  // namespace plimsoll::server::api::anthropic
