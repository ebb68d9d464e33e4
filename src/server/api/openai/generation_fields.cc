#include "server/api/openai/generation_fields.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "server/api/constraint_fields.h"
#include "server/api/request_fields.h"

namespace plimsoll::server::api::openai {
namespace {

constexpr int64_t kChoicesMost = 16;
constexpr uint64_t kStopsMost = 16;
constexpr uint64_t kStopBytesMost = 256;
constexpr uint64_t kBiasesMost = 1024;
constexpr double kBiasMost = 100;
constexpr int64_t kTokensMost = std::numeric_limits<int32_t>::max();

// A known member without support, and the number at which it does nothing.
struct NeutralNumber {
  std::string_view key;
  double neutral;
};
constexpr NeutralNumber kNeutralNumbers[] = {
    {"typical_p", 1},        {"top_n_sigma", -1},   {"dynatemp_range", 0}, {"mirostat", 0},
    {"xtc_probability", 0},  {"dry_multiplier", 0}, {"min_keep", 0},       {"n_probs", 0},
    {"n_keep", 0},           {"n_discard", 0},      {"n_indent", 0},       {"id_slot", -1},
    {"t_max_predict_ms", 0}, {"tfs_z", 1},
};

// Those for which nothing but their absence (or emptiness) is offered.
constexpr std::pair<std::string_view, std::string_view> kAbsent[] = {
    {"lora", "adapters are not offered yet"},
    {"samplers", "the order of the samplers is fixed"},
    {"response_fields", "a reply has all of its fields"},
};

bool IsEmptyValue(const boost::json::value& value) {
  return (value.is_string() && value.get_string().empty()) ||
         (value.is_array() && value.get_array().empty()) ||
         (value.is_object() && value.get_object().empty());
}

void RefuseWhatIsNotOffered(Fields& fields) {
  for (const auto& [key, neutral] : kNeutralNumbers) {
    const Field field = fields[key];
    const auto number = field.Number({-1e18, 1e18});
    if (number && *number != neutral) {
      field.FailUnsupported(fmt::format("only {} is, which switches it off", neutral));
    }
  }
  for (const auto& [key, why] : kAbsent) {
    const Field field = fields[key];
    if (field.present() && !IsEmptyValue(*field.value())) field.FailUnsupported(why);
  }
  const Field store = fields["store"];
  if (store.Bool().value_or(false)) store.FailUnsupported("this server keeps nothing");
  const Field tier = fields["service_tier"];
  if (const auto name = tier.String(); name && *name != "auto" && *name != "default") {
    tier.FailUnsupported("there is one tier, 'default'");
  }
}

// Accepted for what they say; nothing of it changes an answer.
void AcceptWhatChangesNothing(Fields& fields) {
  for (const std::string_view key :
       {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}) {
    (void)fields[key].String();
  }
  (void)fields["metadata"].Object();
  // A prefix that is reused gives the same bits, so it is whatever a client wants.
  (void)fields["cache_prompt"].Bool();
}

std::vector<std::string> ReadStops(const Field& field) {
  const LengthRange bytes{.least = 1, .most = kStopBytesMost};
  if (field.is_array()) return field.Strings(bytes, {.most = kStopsMost});
  const auto one = field.String(bytes);
  return one ? std::vector<std::string>{std::string(*one)} : std::vector<std::string>{};
}

// OpenAI's limits; the lowest forbids.
std::optional<float> ReadBias(const Field& field) {
  if (field.is_bool()) {  // llama-server: false
    if (field.Bool().value_or(true)) field.Fail("invalid_value", "must be a number or false");
    return -std::numeric_limits<float>::infinity();
  }
  const auto bias = field.Number({-kBiasMost, kBiasMost});
  if (!bias) return std::nullopt;
  return *bias == -kBiasMost ? -std::numeric_limits<float>::infinity() : static_cast<float>(*bias);
}

std::optional<TokenId> TokenIdOf(std::string_view text) {
  TokenId id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && id >= 0 ? std::optional<TokenId>(id) : std::nullopt;
}

using Biases = std::vector<std::pair<TokenId, float>>;

// {"15": -100}, and llama-server's [[15, -100]].
Biases ReadLogitBias(const Field& field) {
  Biases biases;
  if (field.is_array()) {
    for (const Field& pair : field.Array({.most = kBiasesMost})) {
      const std::vector<Field> parts = pair.Array({.least = 2, .most = 2});
      if (parts.size() != 2) return {};
      const auto id = parts[0].Integer({0, kTokensMost});
      const auto bias = ReadBias(parts[1]);
      if (!id || !bias) {
        pair.Fail("invalid_value", "must be a token's id and a number");
        return {};
      }
      biases.emplace_back(static_cast<TokenId>(*id), *bias);
    }
    return biases;
  }
  const std::vector<Fields::Member> members = field.Object().Members();
  if (members.size() > kBiasesMost) {
    field.Fail("invalid_value",
               fmt::format("may have {} members at most; it has {}", kBiasesMost, members.size()));
    return {};
  }
  for (const auto& [key, member] : members) {
    const std::optional<TokenId> id = TokenIdOf(key);
    if (!id) {
      member.Fail("invalid_value", "must be named by a token's id");
      return {};
    }
    if (const auto bias = ReadBias(member)) biases.emplace_back(*id, *bias);
  }
  return biases;
}

void ReadFloat(Fields& fields, std::string_view key, NumberRange range, float& value) {
  if (const auto number = fields[key].Number(range)) value = static_cast<float>(*number);
}

void ReadInt(Fields& fields, std::string_view key, IntegerRange range, int32_t& value) {
  if (const auto number = fields[key].Integer(range)) value = static_cast<int32_t>(*number);
}

void ReadSampling(Fields& fields, sampling::SamplerParams& sampling) {
  ReadFloat(fields, "temperature", {0, 100}, sampling.temperature);
  ReadFloat(fields, "top_p", {0, 1}, sampling.top_p);
  ReadFloat(fields, "min_p", {0, 1}, sampling.min_p);
  ReadInt(fields, "top_k", {-1, kTokensMost}, sampling.top_k);
  ReadFloat(fields, "presence_penalty", {-2, 2}, sampling.presence_penalty);
  ReadFloat(fields, "frequency_penalty", {-2, 2}, sampling.frequency_penalty);
  ReadFloat(fields, "repeat_penalty", {0.001, 1000}, sampling.repeat_penalty);
  ReadFloat(fields, "repetition_penalty", {0.001, 1000}, sampling.repeat_penalty);
  ReadInt(fields, "repeat_last_n", {-1, kTokensMost}, sampling.repeat_last_n);
  sampling.logit_bias = ReadLogitBias(fields["logit_bias"]);
}

}  // namespace

void ReadGeneration(Fields& fields, Task& task) {
  task.model = fields["model"].String({.most = 1024}).value_or("");
  task.stream = fields["stream"].Bool().value_or(false);
  const auto n = fields["n"].Integer({1, kChoicesMost});
  const auto n_cmpl = fields["n_cmpl"].Integer({1, kChoicesMost});  // llama-server's name
  task.n = static_cast<uint32_t>(n.value_or(n_cmpl.value_or(1)));
  task.options.stop = ReadStops(fields["stop"]);
  ReadSampling(fields, task.options.sampling);
  // -1 is llama-server's "any".
  if (const auto seed = fields["seed"].Integer({}); seed && *seed != -1) {
    task.options.sampling.seed = static_cast<uint64_t>(*seed);
    task.seed_given = true;
  }
  ReadInt(fields, "priority", {INT32_MIN, INT32_MAX}, task.priority);  // vLLM's name and sense
  task.options.ignore_end = fields["ignore_eos"].Bool().value_or(false);
  task.report_progress = fields["return_progress"].Bool().value_or(false) && task.stream;
  task.constraint = ReadConstraintMembers(fields);
  ReadCacheSalt(fields["cache_salt"], task);
  ReadKvPolicy(fields, task);
  AcceptWhatChangesNothing(fields);
  RefuseWhatIsNotOffered(fields);
}

ReplyOptions ReadReplyOptions(Fields& fields, const Task& task) {
  ReplyOptions options{.stream = task.stream};
  options.timings = fields["timings_per_token"].Bool().value_or(false);
  const Field field = fields["stream_options"];
  Fields stream_options = field.Object();
  options.include_usage = stream_options["include_usage"].Bool().value_or(false);
  const Field obfuscation = stream_options["include_obfuscation"];
  if (obfuscation.Bool().value_or(false)) {
    obfuscation.FailUnsupported("chunks are sent without padding");
  }
  stream_options.NoteUnknown();
  if (field.present() && !task.stream) {
    field.Fail("invalid_value", "is of streams only: set 'stream' as well");
  }
  options.logprobs = task.n_top_logprobs.has_value();
  return options;
}

bool ReadTokenLimit(Fields& fields, std::string_view key, uint32_t& n_predict) {
  const Field field = fields[key];
  const auto limit = field.Integer({-1, kTokensMost});
  if (!limit || *limit == -1) return false;
  if (*limit == 0) {
    field.Fail("invalid_value", "must be at least 1");
    return false;
  }
  n_predict = static_cast<uint32_t>(*limit);
  return true;
}

}  // namespace plimsoll::server::api::openai
