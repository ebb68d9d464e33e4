// A task from its request to its reply: rendered, tokenized, submitted, and told to the client as
// the model goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/service.h"
#include "server/api/reply.h"
#include "server/api/task.h"
#include "server/http/exchange.h"

namespace plimsoll::server::api {

class AnswerGrammars;

struct RunTaskOptions {
  // Of a stream: the bytes that may wait for the client's socket before its sequence pauses.
  uint64_t max_unsent_bytes = 256 * 1024;
  // Those of the model; null: the task compiles its own.
  std::shared_ptr<AnswerGrammars> grammars;
  // Who shares keys and values of prompts that begin alike; tasks of others never do.
  std::string prefix_owner;
  // Of each choice that was neither cancelled nor failed; may be empty.
  std::function<void(const engine::GenerationEnd&)> on_end;
  // The seed of a request that names none; empty: any.
  std::function<uint64_t(const http::Request&)> seed_of;
};

// Answers `exchange` by and by, on other threads; returns when the task is submitted or refused.
// When the client goes, the task ends with the next step.
void RunTask(std::shared_ptr<engine::Service> service, Task task,
             std::unique_ptr<ReplyWriter> writer, std::shared_ptr<http::Exchange> exchange,
             const RunTaskOptions& options = {});

// The answer to a request that came to nothing: the writer's error body with status and headers;
// in a stream that has begun for its long wait (Exchange::AnswerLater), the dialect's error event.
void RespondWithError(ReplyWriter& writer, const ApiError& error, http::Exchange& exchange,
                      bool stream);

}  // namespace plimsoll::server::api
