// What OpenAI's /v1/responses answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/api/task_request.h"

namespace plimsoll::server::api::responses {

// What of a request matters to its reply.
struct ReplyOptions {
  using Clock = std::function<std::chrono::system_clock::time_point()>;

  bool stream = false;
  bool logprobs = false;  // each token of the text is told
  // What of the request the Response object repeats: names and JSON values.
  std::vector<std::pair<std::string, std::string>> settings;
  Clock now = std::chrono::system_clock::now;
};

// A stream ends with exactly one of response.completed, response.incomplete and response.failed.
[[nodiscard]] std::unique_ptr<ReplyWriter> MakeReply(const ReplyIdentity& identity,
                                                     const ReplyOptions& options);

}  // namespace plimsoll::server::api::responses
