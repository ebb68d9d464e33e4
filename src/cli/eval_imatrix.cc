#include <limits>
#include <ostream>

#include "cli/eval.h"
#include "cli/find_model.h"
#include "cli/prompt_source.h"
#include "engine/chat.h"

namespace plimsoll::cli {
namespace {

constexpr uint32_t kDefaultImatrixChunk = 512;

struct ImatrixFlags {
  EngineFlags engine;
  std::optional<std::string> file;
  std::optional<std::string> output;
  uint32_t n_chunks = 0;  // 0: all
  bool with_logits = false;
};

void DeclareImatrix(CommandLine& line, ImatrixFlags& flags) {
  line.Topic("What");
  line.Text("-f,--file", "FILE", "the text (-: standard input)", flags.file);
  line.Text("-o,--output", "FILE", "the importance matrix to write", flags.output);
  line.Integer("--chunks", "only the first N chunks (default 0: all)", flags.n_chunks, 0,
               std::numeric_limits<int32_t>::max());
  line.Flag("--process-output", "also for the matrix that makes the logits, if it has its own",
            flags.with_logits);
  AddEngineOptions(line, flags.engine);
  line.Topic("Output");
  AddOutputOptions(line, flags.engine);
}

// Runs the text through the model chunk by chunk. Returns how many there were.
Result<uint32_t> RunChunks(engine::Engine& engine, std::vector<TokenId> tokens,
                           const ImatrixFlags& flags, const Console& console) {
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
  for (size_t i = 0; i < n_chunks; ++i) {
    const std::span<TokenId> chunk = std::span(tokens).subspan(i * n_ctx, n_ctx);
    if (engine.tokenizer().adds_bos() && bos) {
      chunk.front() = *bos;
    }
    (*session)->Truncate(0);
    // Where nobody wants logits none are made.
    const auto ignore = [](uint32_t /*index*/, std::span<const float> /*logits*/) {};
    if (auto read = (*session)->Append(
            chunk, flags.with_logits ? engine::Session::LogitsFn(ignore) : nullptr);
        !read) {
      return Forward(read);
    }
    if (!flags.engine.quiet) {
      console.err << fmt::format("chunk {} of {}\n", i + 1, n_chunks) << std::flush;
    }
  }
  return static_cast<uint32_t>(n_chunks);
}

}  // namespace

Result<> EvalImatrixCommand(std::vector<std::string> args, const CommandContext& context) {
  ImatrixFlags flags;
  flags.engine.engine.n_ctx = kDefaultImatrixChunk;
  CommandLine line(
      "eval imatrix",
      "Write an importance matrix: of every weight matrix the mean square of each\n"
      "channel that enters it, over a text cut into chunks of -c tokens (default 512)\n"
      "that know nothing of each other. quantize --imatrix and llama.cpp read it.",
      "plimsoll eval imatrix [-m MODEL] -f TEXT -o FILE [options]");
  DeclareImatrix(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.file || !flags.output || flags.output->empty()) {
    return Fail(ErrorKind::kUsage,
                "which text, and where to? For example\n"
                "plimsoll eval imatrix -m model-f16.gguf -f text.txt -o imatrix.gguf");
  }
  const auto text = ReadTextFile(*flags.file, context.console);
  if (!text) {
    return tl::unexpected<Error>(text.error());
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  flags.engine.engine.importance = {.output = *flags.output, .with_logits = flags.with_logits};
  auto engine = LoadEngine(context.load, flags.engine, context.console);
  if (!engine) {
    return Forward(engine);
  }
  const auto n_chunks = RunChunks(**engine, engine::EncodePrompt((*engine)->tokenizer(), *text),
                                  flags, context.console);
  if (!n_chunks) {
    return tl::unexpected<Error>(n_chunks.error());
  }
  if (context.interrupts != nullptr) {
    context.interrupts->SetMode(Interrupts::Mode::kAnswer);  // no half a file for a moment's wait
  }
  if (auto written = (*engine)->WriteImportance({.dataset = *flags.file,
                                                 .n_chunks = *n_chunks,
                                                 .chunk_tokens = flags.engine.engine.n_ctx});
      !written) {
    return written;
  }
  return context.console.Write(fmt::format("{}: of {} chunks of {} tokens\n", *flags.output,
                                           *n_chunks, flags.engine.engine.n_ctx));
}

}  // namespace plimsoll::cli
