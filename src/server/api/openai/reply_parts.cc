#include "server/api/openai/reply_parts.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/utf8.h"

namespace plimsoll::server::api::openai {
namespace {

constexpr float kLowestLogprob = -9999.0F;

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = Utf8Length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

void WriteStringOrNull(std::string_view text, JsonText& json) {
  if (text.empty()) {
    json.Null();
  } else {
    json.String(text);
  }
}

// The members of a token, without the braces.
void WriteToken(const TokenText& token, JsonText& json) {
  json.Key("token").String(TokenSpelling(token.text));
  json.Key("logprob").Number(FiniteLogprob(token.logprob));
  json.Key("bytes").BeginArray();
  for (const char c : token.text) json.Number(static_cast<unsigned char>(c));
  json.EndArray();
}

double PerSecond(double n, double seconds) { return seconds > 0 ? n / seconds : 0; }

// llama-server's four figures of a phase.
void WritePhase(std::string_view name, uint32_t n, double seconds, JsonText& json) {
  const double milliseconds = seconds * 1e3;
  json.Key(fmt::format("{}_n", name)).Number(n);
  json.Key(fmt::format("{}_ms", name)).Number(milliseconds);
  json.Key(fmt::format("{}_per_token_ms", name)).Number(n > 0 ? milliseconds / n : 0.0);
  json.Key(fmt::format("{}_per_second", name)).Number(PerSecond(n, seconds));
}

}  // namespace

std::string ServerEvent(std::string_view json) { return fmt::format("data: {}\n\n", json); }

void WriteError(const ApiError& error, JsonText& json) {
  json.BeginObject().Key("message").String(error.message).Key("type").String(error.type);
  json.Key("param");
  WriteStringOrNull(error.param, json);
  json.Key("code");
  WriteStringOrNull(error.code, json);
  json.EndObject();
}

void WriteUsage(const Usage& usage, JsonText& json) {
  json.BeginObject().Key("prompt_tokens").Number(usage.prompt_tokens);
  json.Key("completion_tokens").Number(usage.completion_tokens);
  json.Key("total_tokens").Number(uint64_t{usage.prompt_tokens} + usage.completion_tokens);
  json.Key("prompt_tokens_details").BeginObject();
  json.Key("cached_tokens").Number(usage.cached_tokens).EndObject();
  json.Key("completion_tokens_details").BeginObject();
  json.Key("reasoning_tokens").Number(usage.reasoning_tokens).EndObject();
  WriteLosses(usage, json);
  json.EndObject();
}

void WriteTimings(const Usage& usage, JsonText& json) {
  json.BeginObject().Key("cache_n").Number(usage.cached_tokens);
  const uint32_t n_computed =
      usage.prompt_tokens - std::min(usage.cached_tokens, usage.prompt_tokens);
  WritePhase("prompt", n_computed, usage.prefill_seconds, json);
  WritePhase("predicted", usage.completion_tokens, usage.decode_seconds, json);
  json.EndObject();
}

void WriteChatLogprobs(std::span<const TokenReport> tokens, JsonText& json) {
  for (const TokenReport& report : tokens) {
    json.BeginObject();
    WriteToken(report.token, json);
    json.Key("top_logprobs").BeginArray();
    for (const TokenText& other : report.top) {
      json.BeginObject();
      WriteToken(other, json);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
}

void WriteIdentity(const ReplyIdentity& identity, std::string_view prefix, std::string_view object,
                   JsonText& json) {
  json.Key("id").String(fmt::format("{}{}", prefix, identity.unique));
  json.Key("object").String(object).Key("created").Number(identity.created);
  json.Key("model").String(identity.model);
  if (!identity.fingerprint.empty()) json.Key("system_fingerprint").String(identity.fingerprint);
}

std::string_view FinishName(Finish finish) {
  switch (finish) {
    case Finish::kStop:
    case Finish::kStopString:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kToolCalls:
      return "tool_calls";
  }
  return "stop";
}

std::string TokenSpelling(std::string_view bytes) {
  if (IsUtf8(bytes)) return std::string(bytes);
  std::string spelling = "bytes:";
  for (const char c : bytes) spelling += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return spelling;
}

float FiniteLogprob(float logprob) {
  return std::isfinite(logprob) ? std::max(logprob, kLowestLogprob) : kLowestLogprob;
}

}  // namespace plimsoll::server::api::openai
