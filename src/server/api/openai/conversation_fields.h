// Messages and tools of a chat request.
#pragma once

#include <string>
#include <vector>

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api::openai {

// 1 to 10,000 messages: roles, text parts joined by line breaks, calls and their results.
[[nodiscard]] std::vector<Message> ReadMessages(Fields& fields);

// Reads tools, tool_choice and parallel_tool_calls. Of tool_choice's `allowed_tools` the others are
// left out of the conversation's.
void ReadTools(Fields& fields, Conversation& conversation);

// Text, or parts of type "text" (and `other`, if it is not empty), which are joined by line breaks.
// Nothing when absent.
[[nodiscard]] std::optional<std::string> ReadTextContent(const Field& field,
                                                         std::string_view other = "");

// A name that a tool may have: letters, digits and "_-.:/", 1 to 128 of them.
[[nodiscard]] std::string ReadToolName(const Field& field);

}  // namespace plimsoll::server::api::openai
