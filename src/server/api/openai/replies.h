// OpenAI's replies, and those of llama-server, as bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "server/api/api_error.h"
#include "server/api/reply.h"
#include "server/api/task_request.h"
#include "server/http/exchange.h"
#include "text/tokenizer.h"

namespace plimsoll::server::api::openai {

// What of a request matters to its reply.
struct ReplyOptions {
  bool stream = false;
  bool include_usage = false;  // of a stream: a last chunk with `usage`
  bool timings = false;        // llama-server's `timings` in the last chunk or the reply
  bool logprobs = false;
  uint32_t n_choices = 1;
};

// Of /v1/chat/completions and of /v1/completions.
[[nodiscard]] std::unique_ptr<ReplyWriter> MakeChatReply(const ReplyIdentity& identity,
                                                         const ReplyOptions& options);
[[nodiscard]] std::unique_ptr<ReplyWriter> MakeCompletionReply(const ReplyIdentity& identity,
                                                               const ReplyOptions& options);

// {"error":{"message":...,"type":...,"param":...,"code":...}}
[[nodiscard]] std::string ErrorBody(const ApiError& error);
// The same with its status and the headers that clients obey: retry-after, x-should-retry. Other
// dialects put a body of their own in place of this one.
[[nodiscard]] http::Response ErrorResponse(const ApiError& error);

// `vectors` as numbers, or as little-endian floats in base64.
[[nodiscard]] std::string EmbeddingReply(std::string_view model,
                                         std::span<const std::vector<float>> vectors, bool base64,
                                         uint64_t n_prompt_tokens);

struct ModelEntry {
  std::string id;
  int64_t created = 0;
  std::string owned_by;
};
// GET /v1/models and /v1/models/{id}.
[[nodiscard]] std::string ModelList(std::span<const ModelEntry> models);
[[nodiscard]] std::string ModelObject(const ModelEntry& model);

// {"tokens":[1,2]}, or with pieces {"tokens":[{"id":1,"piece":"a"}]}; a piece that is not UTF-8 is
// an array of its bytes.
[[nodiscard]] std::string TokenizeReply(std::span<const TokenId> tokens, bool with_pieces,
                                        const text::Tokenizer& tokenizer);
// {"content":"..."} and {"prompt":"..."}.
[[nodiscard]] std::string DetokenizeReply(std::string_view content);
[[nodiscard]] std::string ApplyTemplateReply(std::string_view prompt);

}  // namespace plimsoll::server::api::openai
