// The messages and tools of an Ollama chat.
#pragma once

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api::ollama {

// `messages`, which may be empty, and `tools`.
[[nodiscard]] Conversation ReadConversation(Fields& fields);

}  // namespace plimsoll::server::api::ollama
