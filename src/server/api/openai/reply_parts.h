// Pieces that OpenAI's replies have in common.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json_text.h"
#include "server/api/api_error.h"
#include "server/api/reply.h"
#include "server/api/task_request.h"

namespace plimsoll::server::api::openai {

// "data: JSON", a blank line behind it.
[[nodiscard]] std::string ServerEvent(std::string_view json);
inline constexpr std::string_view kDone = "data: [DONE]\n\n";

// Each writes one value.
void WriteError(const ApiError& error, JsonText& json);
void WriteUsage(const Usage& usage, JsonText& json);
void WriteTimings(const Usage& usage, JsonText& json);
// The items of a chat's logprobs, without the array around them.
void WriteChatLogprobs(std::span<const TokenReport> tokens, JsonText& json);

// The members id, object, created, model and system_fingerprint.
void WriteIdentity(const ReplyIdentity& identity, std::string_view prefix, std::string_view object,
                   JsonText& json);

[[nodiscard]] std::string_view FinishName(Finish finish);

// A token's text as OpenAI spells it: bytes that are no UTF-8 by themselves as "bytes:\xe2\x9c".
[[nodiscard]] std::string TokenSpelling(std::string_view bytes);
// JSON has no infinities: the lowest that OpenAI uses stands for them.
[[nodiscard]] float FiniteLogprob(float logprob);

}  // namespace plimsoll::server::api::openai
