// The input of a Responses request.
#pragma once

#include <vector>

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api::responses {

// `instructions` and `input`: a text, or items of type message, function_call,
// function_call_output and reasoning. What the assistant did in a row becomes one message.
[[nodiscard]] std::vector<Message> ReadInput(Fields& fields);

}  // namespace plimsoll::server::api::responses
