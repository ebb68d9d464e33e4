// The members that chat and text completions have in common.
#pragma once

#include <string_view>

#include "server/api/json/fields.h"
#include "server/api/openai/replies.h"
#include "server/api/task.h"

namespace plimsoll::server::api::openai {

// Reads model, stream, n, stop, seed, sampling and llama-server's names for these into the task;
// refuses what is known and not offered. All but the members that limit the answer's length and
// those about logprobs, which differ.
void ReadGeneration(Fields& fields, Task& task);

// What of the request its reply is made by; stream_options with it.
[[nodiscard]] ReplyOptions ReadReplyOptions(Fields& fields, const Task& task);

// A member's tokens to generate; absent and -1 leave `n_predict` as it is. True when it was set.
bool ReadTokenLimit(Fields& fields, std::string_view key, uint32_t& n_predict);

}  // namespace plimsoll::server::api::openai
