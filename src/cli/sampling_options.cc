#include "cli/sampling_options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <random>

namespace plimsoll::cli {
namespace {

uint64_t RandomSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

Result<> SetPredict(uint32_t& n_predict, const std::string& value) {
  auto n = ParseInteger(value, -1, std::numeric_limits<int32_t>::max());
  if (!n) {
    return Forward(n);
  }
  if (*n == 0) {
    return Fail(ErrorKind::kUsage, "0 tokens: write 1 or more, or -1 for no limit");
  }
  n_predict = *n < 0 ? 0 : static_cast<uint32_t>(*n);
  return {};
}

Result<> SetSeed(uint64_t& seed, const std::string& value) {
  if (value == "-1") {
    seed = RandomSeed();
    return {};
  }
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), seed);
  if (code != std::errc() || end != value.data() + value.size()) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not a seed: a whole number below 2^64, or -1", value);
  }
  return {};
}

void AddSamplingOptions(CommandLine& line, sampling::SamplerParams& sampling) {
  line.Topic("Sampling");
  line.Real("--temp,--temperature", "temperature; 0: always the likeliest token (default 0.8)",
            sampling.temperature);
  line.Integer("--top-k", "of the N likeliest tokens; 0: all (default 40)", sampling.top_k, -1,
               std::numeric_limits<int32_t>::max());
  line.Real("--top-p", "of the fewest that reach this probability (default 0.95)", sampling.top_p);
  line.Real("--min-p", "of those with this share of the likeliest's (default 0.05)",
            sampling.min_p);
  line.Real("--repeat-penalty", "divides the logits of repeated tokens (default 1: off)",
            sampling.repeat_penalty);
  line.Integer("--repeat-last-n", "tokens that penalties look back; -1: all (default 64)",
               sampling.repeat_last_n, -1, std::numeric_limits<int32_t>::max());
  line.Real("--presence-penalty", "off the logits of tokens that occurred (default 0)",
            sampling.presence_penalty);
  line.Real("--frequency-penalty", "the same per occurrence (default 0)",
            sampling.frequency_penalty);
  line.Repeated("--logit-bias,-l", "ID(+|-)V",
                "added to a token's logit; ID-inf forbids; repeatable",
                [&sampling](const std::string& value) -> Result<> {
                  auto bias = ParseLogitBias(value);
                  if (!bias) {
                    return Forward(bias);
                  }
                  sampling.logit_bias.push_back(*bias);
                  return {};
                });
  sampling.seed = RandomSeed();
  line.Option("-s,--seed", "N", "the same seed gives the same answer (default -1: any)",
              [&sampling](const std::string& value) { return SetSeed(sampling.seed, value); });
}

}  // namespace

void AddGenerateOptions(CommandLine& line, engine::GenerateOptions& options) {
  line.Topic("Answer");
  line.Option(
      "-n,--predict,--n-predict", "N", "at most so many tokens (default -1: no limit)",
      [&options](const std::string& value) { return SetPredict(options.n_predict, value); });
  line.Repeated("-r,--stop,--reverse-prompt", "TEXT", "end before this text; repeatable",
                [&options](const std::string& value) -> Result<> {
                  if (value.empty()) {
                    return Fail(ErrorKind::kUsage, "the text is empty");
                  }
                  options.stop.push_back(value);
                  return {};
                });
  line.Flag("--ignore-eos", "go on when the model ends", options.ignore_end);
  AddSamplingOptions(line, options.sampling);
}

Result<std::pair<TokenId, float>> ParseLogitBias(std::string_view text) {
  const size_t sign = text.find_first_of("+-", 1);
  const auto id = ParseInteger(text.substr(0, std::min(sign, text.size())), 0,
                               std::numeric_limits<TokenId>::max());
  const auto bias =
      ParseReal(sign == std::string_view::npos ? std::string_view() : text.substr(sign));
  if (!id || !bias) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not ID+VALUE, ID-VALUE or ID-inf", text);
  }
  return std::pair(static_cast<TokenId>(*id), *bias);
}

}  // namespace plimsoll::cli
