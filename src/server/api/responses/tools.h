// The tools of a Responses request.
#pragma once

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api::responses {

// `tools`, of type function, `tool_choice` and `parallel_tool_calls`. Of the choice's
// `allowed_tools` the others are left out of the conversation's.
void ReadTools(Fields& fields, Conversation& conversation);

}  // namespace plimsoll::server::api::responses
