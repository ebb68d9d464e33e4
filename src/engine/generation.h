// A request to an engine that serves several at a time, and what comes of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/engine.h"
#include "sampling/token_filter.h"

namespace plimsoll::engine {

// How likely a token was: the logarithm of its softmax over the model's own logits, before bias,
// penalties and temperature.
struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

inline constexpr uint32_t kMaxTopLogprobs = 20;

struct GenerationRequest {
  std::vector<TokenId> prompt;  // 1 to n_ctx - 1 tokens
  GenerateOptions options;      // n_predict 0: until the model ends or the context is full
  // With every token how likely it was, and so many of the likeliest ones: at most
  // kMaxTopLogprobs. Nothing: neither.
  std::optional<uint32_t> n_top_logprobs;
  // What its tokens may be; null: all. Of this request alone.
  std::shared_ptr<sampling::TokenFilter> filter;
  // Requests of one owner share the keys and values of prompts that begin alike, others never do,
  // nor can they tell by the time it takes.
  std::string prefix_owner;
  // Which of its keys and values stay, instead of as EngineOptions says.
  std::optional<kv::policy::PolicyOptions> kv_policy;
  // For the order of those that wait (engine/order/order_policy.h): its class, the lowest first,
  // and how many tokens the answer will have, if that is known before.
  int32_t priority = 0;
  std::optional<uint32_t> expected_output;
};

struct GeneratedToken {
  TokenId token = 0;
  float logprob = 0;              // when it was asked for, as the next
  std::vector<TokenLogprob> top;  // likeliest first
};

struct GenerationEnd {
  FinishReason reason = FinishReason::kEnd;
  GenerateStats stats;
  double queue_seconds = 0;    // before its first step
  std::string stop_string;     // with kStopString
  std::optional<Error> error;  // it failed: `reason` means nothing
};

// Where a request's output goes. Called by the engine's thread, between two steps: must neither
// block nor throw. `OnEnd` is called exactly once and last, also for a request that is cancelled
// (kInterrupted) or that fails.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;

  // So many tokens of the prompt have been computed or were there already.
  virtual void OnPrompt(uint32_t /*n_done*/, uint32_t /*n_prompt*/) {}
  // The tokens that were drawn since the last call, and text that is complete by now (whole
  // characters, nothing of a stop string); either may be empty.
  virtual void OnText(std::string_view text, std::span<const GeneratedToken> tokens) = 0;
  virtual void OnEnd(const GenerationEnd& end) = 0;
  // False while the reader is behind: its sequence keeps its place and is not computed.
  [[nodiscard]] virtual bool HasRoom() const { return true; }
};

}  // namespace plimsoll::engine
