#include "server/api/ollama/options.h"

#include <charconv>
#include <string_view>
#include <utility>

#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "server/api/request_fields.h"

namespace plimsoll::server::api::ollama {
namespace {

// Known options without support, and the number at which each does nothing.
constexpr std::pair<std::string_view, double> kSwitchedOff[] = {
    {"typical_p", 1}, {"tfs_z", 1}, {"mirostat", 0}};

// What the engine decides by itself, or what does nothing without those above.
constexpr std::string_view kWithoutEffect[] = {
    "num_keep",     "num_batch",    "num_gpu",        "main_gpu",        "low_vram",   "f16_kv",
    "logits_all",   "vocab_only",   "use_mmap",       "use_mlock",       "num_thread", "numa",
    "mirostat_tau", "mirostat_eta", "embedding_only", "penalize_newline"};

void ReadSampling(Fields& options, sampling::SamplerParams& sampling) {
  ReadFloat(options["temperature"], {0, 100}, sampling.temperature);
  ReadInt(options["top_k"], {-1, kTokensMost}, sampling.top_k);
  ReadFloat(options["top_p"], {0, 1}, sampling.top_p);
  ReadFloat(options["min_p"], {0, 1}, sampling.min_p);
  ReadFloat(options["repeat_penalty"], {0.001, 1000}, sampling.repeat_penalty);
  ReadInt(options["repeat_last_n"], {-1, kTokensMost}, sampling.repeat_last_n);
  ReadFloat(options["presence_penalty"], {-2, 2}, sampling.presence_penalty);
  ReadFloat(options["frequency_penalty"], {-2, 2}, sampling.frequency_penalty);
}

// A Go duration in seconds, or nothing when it is none.
std::optional<double> ParseDuration(std::string_view text) {
  const bool negative = text.substr(0, 1) == "-";
  if (negative || text.substr(0, 1) == "+") text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const size_t unit_length = text.find_first_of("0123456789.");
    const std::string_view unit = text.substr(0, unit_length);
    text.remove_prefix(unit.size());
    constexpr std::pair<std::string_view, double> kUnits[] = {
        {"", 1},      {"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6},
        {"ms", 1e-3}, {"s", 1},     {"m", 60},    {"h", 3600}};
    const auto* const known = std::find_if(std::begin(kUnits), std::end(kUnits),
                                           [&](const auto& pair) { return pair.first == unit; });
    if (known == std::end(kUnits)) return std::nullopt;
    seconds += number * known->second;
  }
  return negative ? -seconds : seconds;
}

}  // namespace

std::optional<uint32_t> ReadOptions(Fields& fields, Task& task) {
  Fields options = fields["options"].Object();
  ReadSampling(options, task.options.sampling);
  ReadSeed(options["seed"], task);
  task.options.stop = ReadStopStrings(options["stop"]);
  // Not above 0: as long as the context allows.
  const auto limit = options["num_predict"].Integer({-2, kTokensMost});
  if (limit.value_or(0) > 0) task.options.n_predict = static_cast<uint32_t>(*limit);
  for (const auto& [key, neutral] : kSwitchedOff) {
    const Field field = options[key];
    if (const auto number = field.Number({-1e18, 1e18}); number && *number != neutral) {
      field.FailUnsupported(fmt::format("only {} is, which switches it off", neutral));
    }
  }
  for (const std::string_view key : kWithoutEffect) (void)options[key];
  const auto n_ctx = options["num_ctx"].Integer({1, kTokensMost});
  options.NoteUnknown();
  return n_ctx ? std::optional(static_cast<uint32_t>(*n_ctx)) : std::nullopt;
}

std::optional<double> ReadKeepAlive(const Field& field) {
  if (!field.is_string()) return field.Number({-1e12, 1e12});
  const auto seconds = ParseDuration(*field.String());
  if (!seconds) field.Fail("invalid_value", "must be seconds, or a duration such as '5m'");
  return seconds;
}

void RefuseUnlessEmpty(const Field& field, std::string_view why) {
  if (!field.present()) return;
  const bool empty =
      (field.is_string() && field.String()->empty()) || (field.is_array() && field.Array().empty());
  if (!empty) field.FailUnsupported(why);
}

}  // namespace plimsoll::server::api::ollama
