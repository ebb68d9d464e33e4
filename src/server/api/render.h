// Conversations to prompts, with tools and what else a template may be told.
#pragma once

#include <string>

#include "engine/service.h"
#include "server/api/api_error.h"
#include "server/api/task.h"

namespace plimsoll::server::api {

// By the template of the model's file; ChatML without one. The special tokens in the prompt are
// text, to be encoded with parse_special. 400 when the template refuses the conversation, with its
// reason.
[[nodiscard]] ApiResult<std::string> RenderConversation(const engine::Service& service,
                                                        const Conversation& conversation);

}  // namespace plimsoll::server::api
