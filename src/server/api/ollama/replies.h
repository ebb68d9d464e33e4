// What Ollama's /api/chat and /api/generate answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/api/task_request.h"
#include "server/http/exchange.h"

namespace plimsoll::server::api::ollama {

// What of a request matters to its reply.
struct ReplyOptions {
  enum class Kind { kChat, kGenerate };
  using Clock = std::function<std::chrono::system_clock::time_point()>;

  Kind kind = Kind::kChat;
  bool stream = true;     // one JSON object a line, else one object
  bool logprobs = false;  // each token is told
  Clock now = std::chrono::system_clock::now;
};

[[nodiscard]] std::unique_ptr<ReplyWriter> MakeReply(const ReplyIdentity& identity,
                                                     const ReplyOptions& options);

// The reply to a request without a prompt, which only has a model loaded (or, with `unload`,
// dropped).
[[nodiscard]] std::string LoadedBody(std::string_view model, const ReplyOptions& options,
                                     bool unload);

// {"error":"..."}
[[nodiscard]] std::string ErrorBody(const ApiError& error);
[[nodiscard]] http::Response ErrorResponse(const ApiError& error);

// "2026-11-21T19:24:47.123456789Z"
[[nodiscard]] std::string TimeText(std::chrono::system_clock::time_point time);

}  // namespace plimsoll::server::api::ollama
