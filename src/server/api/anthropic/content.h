// The messages of an Anthropic request.
#pragma once

#include <vector>

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api::anthropic {

// `system` and `messages`: text, and blocks of type text, thinking, tool_use and tool_result. A
// user's message with results becomes one message a result and one for the rest.
[[nodiscard]] std::vector<Message> ReadMessages(Fields& fields);

}  // namespace plimsoll::server::api::anthropic
