#include "server/api/service_errors.h"

#include <fmt/format.h>

namespace plimsoll::server::api {
namespace {

std::string_view LimitText(engine::Overload::Limit limit) {
  switch (limit) {
    case engine::Overload::Limit::kRequests:
      return "as many requests wait as may";
    case engine::Overload::Limit::kTokens:
      return "the prompts that wait are as long as they may be together";
    case engine::Overload::Limit::kSeconds:
      return "those that wait will take longer than anyone may have to wait";
    case engine::Overload::Limit::kStopping:
      break;
  }
  return "the server is stopping";
}

}  // namespace

ApiError OverloadError(const engine::Overload& overload) {
  const bool stopping = overload.limit == engine::Overload::Limit::kStopping;
  ApiError error;
  error.status = stopping ? 503 : 429;
  error.type = stopping ? "unavailable_error" : "rate_limit_error";
  error.code = stopping ? "server_stopping" : "server_overloaded";
  error.message = fmt::format("the server is overloaded: {}", LimitText(overload.limit));
  if (stopping) {
    error.message = LimitText(overload.limit);
  }
  error.retry_after_seconds = overload.retry_seconds;
  return error;
}

ApiError EngineError(const Error& error) {
  ApiError api;
  api.message = error.message;
  switch (error.kind) {
    case ErrorKind::kUsage:
      break;
    case ErrorKind::kDoesNotFit:
      api.status = 503;
      api.type = "server_error";
      api.code = "does_not_fit";
      api.may_retry = false;
      break;
    case ErrorKind::kTimeLimit:
      api.status = 408;
      api.type = "timeout_error";
      api.code = "time_limit";
      api.may_retry = false;
      break;
    default:
      api.status = 500;
      api.type = "server_error";
      api.code = error.file_changed             ? "model_changed"
                 : error.kind == ErrorKind::kIo ? "io_error"
                                                : "engine_error";
      break;
  }
  return api;
}

ApiError KvPolicyError(const kv::policy::PolicyProblem& problem) {
  return {.message = fmt::format("'kv_{}' {}", problem.option, problem.text),
          .code = "invalid_value",
          .param = fmt::format("kv_{}", problem.option)};
}

ApiError ContextLengthError(uint64_t n_prompt, uint32_t n_ctx) {
  return {.message = fmt::format("the prompt has {} tokens, and the context holds {}, of which at "
                                 "least one is the answer's",
                                 n_prompt, n_ctx),
          .code = "context_length_exceeded",
          .param = "messages"};
}

}  // namespace plimsoll::server::api
