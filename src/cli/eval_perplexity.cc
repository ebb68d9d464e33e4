#include <cmath>
#include <limits>
#include <ostream>

#include "base/json_text.h"
#include "base/math.h"
#include "cli/eval.h"
#include "cli/find_model.h"
#include "cli/prompt_source.h"
#include "engine/chat.h"
#include "sampling/logprobs.h"

namespace plimsoll::cli {
namespace {

constexpr uint32_t kDefaultChunk = 512;
constexpr uint32_t kMinChunk = 8;

struct PerplexityFlags {
  EngineFlags engine;
  std::optional<std::string> file;
  uint32_t n_chunks = 0;  // 0: all
  bool json = false;
};

// The mean negative log-likelihood of the tokens so far, and how uncertain it is.
class Likelihood {
 public:
  void Add(double negative_logprob) {
    sum_ += negative_logprob;
    sum_squares_ += negative_logprob * negative_logprob;
    ++count_;
  }
  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] double mean() const { return sum_ / static_cast<double>(count_); }
  [[nodiscard]] double perplexity() const { return StableExp(mean()); }
  // Standard error of the mean, carried over to the perplexity; 0 for a single token.
  [[nodiscard]] double error() const {
    if (count_ < 2) {
      return 0;
    }
    const auto n = static_cast<double>(count_);
    const double variance = std::max(0.0, sum_squares_ / n - mean() * mean());
    return std::sqrt(variance / (n - 1)) * perplexity();
  }

 private:
  double sum_ = 0;
  double sum_squares_ = 0;
  uint64_t count_ = 0;
};

void Declare(CommandLine& line, PerplexityFlags& flags) {
  line.Topic("What");
  line.Positional("FILE", "the text (-: standard input)", flags.file);
  line.Integer("--chunks", "only the first N chunks (default 0: all)", flags.n_chunks, 0,
               std::numeric_limits<int32_t>::max());
  AddEngineOptions(line, flags.engine);
  line.Topic("Output");
  line.Flag("--json", "one JSON object with the result", flags.json);
  AddOutputOptions(line, flags.engine);
}

// Scores a chunk of n_ctx tokens. Its first half is only context; of the second, every token is
// predicted from those before it.
Result<> ScoreChunk(engine::Session& session, std::span<const TokenId> chunk,
                    Likelihood& likelihood) {
  const size_t half = chunk.size() / 2;
  session.Truncate(0);
  if (auto read = session.Append(chunk.first(half), nullptr); !read) {
    return read;
  }
  const auto scored = chunk.subspan(half, chunk.size() - half - 1);
  return session.Append(scored, [&](uint32_t i, std::span<const float> logits) {
    const auto next = static_cast<size_t>(chunk[half + i + 1]);
    likelihood.Add(sampling::LogSumExp(logits) - static_cast<double>(logits[next]));
  });
}

std::string ToJson(const engine::ModelSummary& model, uint32_t n_ctx, size_t n_chunks,
                   const Likelihood& likelihood) {
  JsonText json;
  json.BeginObject().Key("schema_version").Number(1);
  json.Key("model").String(model.name);
  json.Key("n_ctx").Number(n_ctx);
  json.Key("chunks").Number(n_chunks);
  json.Key("tokens").Number(likelihood.count());
  json.Key("nll").Number(likelihood.mean());
  json.Key("perplexity").Number(likelihood.perplexity());
  json.Key("error").Number(likelihood.error());
  json.EndObject();
  return json.text() + "\n";
}

Result<> Measure(engine::Engine& engine, std::vector<TokenId> tokens, const PerplexityFlags& flags,
                 const Console& console) {
  const uint32_t n_ctx = flags.engine.engine.n_ctx;
  size_t n_chunks = tokens.size() / n_ctx;
  if (n_chunks == 0) {
    return Fail(ErrorKind::kUsage,
                "{}: {} tokens, and one chunk needs {}: give more text or a smaller -c",
                *flags.file, tokens.size(), n_ctx);
  }
  if (flags.n_chunks != 0) {
    n_chunks = std::min<size_t>(n_chunks, flags.n_chunks);
  }
  auto session = engine.NewSession();
  if (!session) {
    return Forward(session);
  }
  const auto bos = engine.tokenizer().spec().bos;
  Likelihood likelihood;
  for (size_t i = 0; i < n_chunks; ++i) {
    const std::span<TokenId> chunk = std::span(tokens).subspan(i * n_ctx, n_ctx);
    if (engine.tokenizer().adds_bos() && bos) {
      chunk.front() = *bos;
    }
    if (auto scored = ScoreChunk(**session, chunk, likelihood); !scored) {
      return scored;
    }
    if (!flags.engine.quiet) {
      console.err << fmt::format("chunk {} of {}: perplexity {:.4f}\n", i + 1, n_chunks,
                                 likelihood.perplexity())
                  << std::flush;
    }
  }
  if (flags.json) {
    return console.Write(ToJson(engine.summary(), n_ctx, n_chunks, likelihood));
  }
  return console.Write(fmt::format(
      "perplexity {:.4f} +/- {:.4f} over {} tokens in {} chunks of {}\n", likelihood.perplexity(),
      likelihood.error(), likelihood.count(), n_chunks, n_ctx));
}

}  // namespace

Result<> EvalPerplexityCommand(std::vector<std::string> args, const CommandContext& context) {
  PerplexityFlags flags;
  flags.engine.engine.n_ctx = kDefaultChunk;
  CommandLine line(
      "eval perplexity",
      "Print the perplexity of a text, as llama.cpp defines it: the text is cut into\n"
      "chunks of -c tokens (default 512) that know nothing of each other; the second\n"
      "half of each is scored, with the first as its context; where the model wants a\n"
      "BOS token it takes the place of a chunk's first. The error is one standard error.",
      "plimsoll eval perplexity [-m MODEL] FILE [options]");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.file) {
    return Fail(ErrorKind::kUsage, "no text: give a FILE, or - for standard input");
  }
  if (flags.engine.engine.n_ctx < kMinChunk) {
    return Fail(ErrorKind::kUsage, "--ctx-size: a chunk needs {} tokens or more", kMinChunk);
  }
  auto text = ReadTextFile(*flags.file, context.console);
  if (!text) {
    return Forward(text);
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  auto engine = LoadEngine(context.load, flags.engine, context.console);
  if (!engine) {
    return Forward(engine);
  }
  return Measure(**engine, engine::EncodePrompt((*engine)->tokenizer(), *text), flags,
                 context.console);
}

}  // namespace plimsoll::cli
