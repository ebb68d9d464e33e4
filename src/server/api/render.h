// Conversations to prompts, with tools and what else a template may be told.
#pragma once

#include <string>

#include "engine/service.h"
#include "server/api/api_error.h"
#include "server/api/task.h"

namespace plimsoll::server::api {

struct RenderedPrompt {
  std::string text;
  // In control tokens that users and tools have written, so that they stay text when the prompt's
  // own are parsed (engine::EncodePrompt).
  std::string mark;

  [[nodiscard]] std::string WithoutMarks() const;
};

// By the template of the model's file; ChatML without one. 400 when the template refuses the
// conversation, with its reason.
[[nodiscard]] ApiResult<RenderedPrompt> RenderConversation(const engine::Service& service,
                                                           const Conversation& conversation);

}  // namespace plimsoll::server::api
