// What the engine refuses or meets, as clients are told of it.
#pragma once

#include "base/result.h"
#include "engine/service.h"
#include "server/api/api_error.h"

namespace plimsoll::server::api {

// 429 with the time to wait; 503 when the server is stopping.
[[nodiscard]] ApiError OverloadError(const engine::Overload& overload);
// What a request met that can never run (kUsage: 400), or that failed under way.
[[nodiscard]] ApiError EngineError(const Error& error);
// 400 with the member that it is about: "kv_reference".
[[nodiscard]] ApiError KvPolicyError(const kv::policy::PolicyProblem& problem);
// 400 context_length_exceeded with both numbers.
[[nodiscard]] ApiError ContextLengthError(uint64_t n_prompt, uint32_t n_ctx);

}  // namespace plimsoll::server::api
