#include <limits>

#include "base/json_text.h"
#include "cli/eval.h"
#include "cli/find_model.h"
#include "cli/prompt_source.h"
#include "sampling/logprobs.h"

namespace plimsoll::cli {
namespace {

struct LogitsFlags {
  EngineFlags engine;
  std::optional<std::string> ids;
  uint32_t top = 10;
  bool full = false;
};

void Declare(CommandLine& line, LogitsFlags& flags) {
  line.Topic("What");
  line.Text("--ids", "IDS", "token ids, as 1,2,3; -: from standard input", flags.ids);
  line.Integer("--top", "the best N log-probabilities of each position (default 10)", flags.top, 1,
               std::numeric_limits<int32_t>::max());
  line.Flag("--full", "all logits instead", flags.full);
  AddEngineOptions(line, flags.engine);
  line.Topic("Output");
  AddOutputOptions(line, flags.engine);
}

std::string TopLine(uint32_t position, std::span<const float> logits, uint32_t n) {
  JsonText json;
  json.BeginObject().Key("pos").Number(position).Key("top").BeginArray();
  for (const auto& [id, logprob] : sampling::TopLogprobs(logits, n)) {
    json.BeginArray().Number(id).Number(logprob).EndArray();
  }
  json.EndArray().EndObject();
  return json.text() + "\n";
}

std::string FullLine(uint32_t position, std::span<const float> logits) {
  JsonText json;
  json.BeginObject().Key("pos").Number(position).Key("logits").BeginArray();
  for (const float logit : logits) {
    json.Number(logit);
  }
  json.EndArray().EndObject();
  return json.text() + "\n";
}

Result<std::vector<TokenId>> ReadIds(const LogitsFlags& flags, const Console& console) {
  if (!flags.ids) {
    return Fail(ErrorKind::kUsage, "no ids: give --ids 1,2,3 or --ids - (standard input)");
  }
  if (*flags.ids != "-") {
    return ParseIds(*flags.ids);
  }
  auto text = ReadStandardInput(console);
  if (!text) {
    return Forward(text);
  }
  return ParseIds(*text);
}

Result<> CheckIds(std::span<const TokenId> ids, size_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (static_cast<size_t>(ids[i]) >= vocab_size) {
      return Fail(ErrorKind::kUsage, "--ids: token {} at place {} is not in the vocabulary of {}",
                  ids[i], i, vocab_size);
    }
  }
  return {};
}

}  // namespace

Result<std::vector<TokenId>> ParseIds(std::string_view text) {
  constexpr std::string_view kSeparators = ", \t\r\n";
  std::vector<TokenId> ids;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kSeparators), text.size()));
    if (text.empty()) {
      break;
    }
    const auto word = text.substr(0, text.find_first_of(kSeparators));
    auto id = ParseInteger(word, 0, std::numeric_limits<TokenId>::max());
    if (!id) {
      return Fail(ErrorKind::kUsage, "--ids: {}", id.error().message);
    }
    ids.push_back(static_cast<TokenId>(*id));
    text.remove_prefix(word.size());
  }
  if (ids.empty()) {
    return Fail(ErrorKind::kUsage, "--ids: no id in it");
  }
  return ids;
}

Result<> EvalLogitsCommand(std::vector<std::string> args, const CommandContext& context) {
  LogitsFlags flags;
  CommandLine line(
      "eval logits",
      "Print what the model expects after each token, one JSON line a position:\n"
      "{\"pos\":0,\"top\":[[id,logprob],...]}, with --full {\"pos\":0,\"logits\":[...]}.",
      "plimsoll eval logits [-m MODEL] --ids IDS [options]");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  auto ids = ReadIds(flags, context.console);
  if (!ids) {
    return Forward(ids);
  }
  if (flags.engine.engine.n_ctx == 0) {
    flags.engine.engine.n_ctx = static_cast<uint32_t>(ids->size());
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  auto engine = LoadEngine(context.load, flags.engine, context.console);
  if (!engine) {
    return Forward(engine);
  }
  if (auto checked = CheckIds(*ids, (*engine)->tokenizer().size()); !checked) {
    return checked;
  }
  auto session = (*engine)->NewSession();
  if (!session) {
    return Forward(session);
  }
  Result<> written;
  auto appended = (*session)->Append(*ids, [&](uint32_t i, std::span<const float> logits) {
    if (written) {
      written =
          context.console.Write(flags.full ? FullLine(i, logits) : TopLine(i, logits, flags.top));
    }
  });
  return written ? appended : written;
}

}  // namespace plimsoll::cli
