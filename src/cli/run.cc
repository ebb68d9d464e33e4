#include "cli/run.h"

#include <optional>
#include <ostream>

#include "cli/answer.h"
#include "cli/answer_form.h"
#include "cli/chat.h"
#include "cli/chat_file.h"
#include "cli/find_model.h"
#include "cli/prompt_source.h"
#include "cli/sampling_options.h"
#include "cli/stats.h"
#include "engine/chat.h"
#include "engine/snapshot_json.h"

namespace plimsoll::cli {
namespace {

struct RunFlags {
  EngineFlags engine;
  PromptFlags prompt;
  engine::GenerateOptions generate;
  FormFlags form;
  std::optional<std::string> model;  // the argument
  std::string system;
  std::string session;
  std::optional<SizeSpec> memory_floor;
  bool raw = false;
  bool json = false;
};

void Declare(CommandLine& line, RunFlags& flags) {
  AddPromptOptions(line, flags.prompt);
  line.Text("-sys,--system,--system-prompt", "TEXT", "what the model is told first", flags.system);
  line.Text("--session", "FILE", "keep the chat in FILE, to go on with it in another run",
            flags.session);
  line.Flag("--raw", "continue the text as it is, without the chat template", flags.raw);
  AddGenerateOptions(line, flags.generate);
  AddFormOptions(line, flags.form);
  AddEngineOptions(line, flags.engine);
  AddMemoryFloor(line, flags.memory_floor);
  line.Positional("MODEL", "the same as -m MODEL", flags.model);
  line.Topic("Output");
  line.Flag("--json", "one JSON object with text and figures, instead of a stream", flags.json);
  AddOutputOptions(line, flags.engine);
}

Result<> Check(RunFlags& flags, CommandLine::Origin model_origin) {
  if (flags.model) {
    if (model_origin == CommandLine::Origin::kArguments) {
      return Fail(ErrorKind::kUsage, "two models: {} and -m {}", *flags.model,
                  flags.engine.engine.model->string());
    }
    flags.engine.engine.model = *flags.model;
  }
  if (flags.raw && !flags.session.empty()) {
    return Fail(ErrorKind::kUsage,
                "--session keeps a chat, and --raw is none: give one of the two");
  }
  if (flags.engine.kv.policy.is_lossy() && !flags.session.empty()) {
    return Fail(
        ErrorKind::kUsage,
        "--session keeps all keys and values, and --kv-policy does not: give one of the two");
  }
  return flags.generate.sampling.Validate();
}

Conversation NewConversation(const engine::Engine& engine, const RunFlags& flags) {
  const auto render = [&engine](std::span<const engine::ChatMessage> messages) {
    auto chat_template = engine.chat_template();
    if (!chat_template) {
      return Result<std::string>(Forward(chat_template));
    }
    return engine::RenderChat(*chat_template, engine.tokenizer(), messages);
  };
  return Conversation(engine.tokenizer(), render, flags.system);
}

struct Prompt {
  std::string text;
  std::vector<TokenId> tokens;
};

Result<Prompt> MakePrompt(const std::string& text, const engine::Engine& engine,
                          Conversation& conversation, const RunFlags& flags) {
  if (flags.raw) {
    return Prompt{.text = text, .tokens = engine::EncodePrompt(engine.tokenizer(), text)};
  }
  auto tokens = conversation.Ask(text);
  if (!tokens) {
    return Forward(tokens);
  }
  return Prompt{.text = conversation.prompt(), .tokens = *std::move(tokens)};
}

std::string ToJson(const Answer& answer, const engine::Engine& engine, const RunFlags& flags) {
  JsonText json;
  json.BeginObject().Key("schema_version").Number(1);
  json.Key("model").String(engine.summary().name);
  json.Key("text").String(answer.text);
  json.Key("finish_reason").String(engine::FinishReasonName(answer.stats.reason));
  json.Key("seed").Number(flags.generate.sampling.seed);
  json.Key("kernels").String(engine.summary().kernels);
  json.Key("threads").Number(engine.summary().n_threads);
  json.Key("stats").BeginObject();
  WriteStats(json, answer.stats, engine);
  json.EndObject().EndObject();
  return json.text() + "\n";
}

// A chat, and where it is kept (null: nowhere).
struct KeptChat {
  Conversation conversation;
  ChatFile* file = nullptr;
};

Result<> AnswerOnce(const std::string& text, const RunFlags& flags, engine::Engine& engine,
                    engine::Session& session, KeptChat& chat, AnswerFilters& filters,
                    const Attention& attention, const Console& console) {
  auto prompt = MakePrompt(text, engine, chat.conversation, flags);
  if (!prompt) {
    return Forward(prompt);
  }
  auto filter = filters.Make(prompt->text, prompt->tokens);
  if (!filter) {
    return Forward(filter);
  }
  const auto paging_before = engine.paging();
  auto answer = Generate(session, prompt->tokens, flags.generate, filter->get(), console, attention,
                         !flags.json);
  if (!answer) {
    return Forward(answer);
  }
  const bool open_line = !flags.json && !answer->text.ends_with('\n');
  if (flags.json || (open_line && console.out_is_terminal)) {
    if (auto written = console.Write(flags.json ? ToJson(*answer, engine, flags) : "\n");
        !written) {
      return written;
    }
  }
  if (!flags.engine.quiet && !flags.json) {
    // The text may be on the same screen by way of a pipe.
    const bool separate = open_line && !console.out_is_terminal && console.err_is_terminal;
    console.err << (separate ? "\n" : "") << DescribeStats(answer->stats)
                << DescribePaging(engine.paging(), paging_before, answer->stats)
                << DescribeStreaming(engine.streaming()) << DescribeMemory(engine.ledger())
                << std::flush;
  }
  if (chat.file != nullptr) {
    chat.conversation.Answer(answer->text, session.tokens());
    if (auto saved = chat.file->Save(chat.conversation); !saved) {
      return saved;
    }
  }
  if (answer->stats.reason == engine::FinishReason::kInterrupted) {
    return Fail(ErrorKind::kInterrupted, "interrupted");
  }
  return {};
}

Result<> ChatInTerminal(const RunFlags& flags, engine::Engine& engine, engine::Session& session,
                        KeptChat& chat, AnswerFilters& filters, const Attention& attention,
                        const CommandContext& context) {
  const auto lines = context.open_terminal();
  return Chat({.console = context.console,
               .engine = engine,
               .session = session,
               .conversation = std::move(chat.conversation),
               .options = flags.generate,
               .filters = filters,
               .lines = *lines,
               .attention = attention,
               .file = chat.file,
               .use_color = UseColor(flags.engine.color, context.console.err_is_terminal),
               .quiet = flags.engine.quiet})
      .Run();
}

}  // namespace

Result<> RunCommand(std::vector<std::string> args, const CommandContext& context) {
  RunFlags flags;
  CommandLine line("run", "Chat with a model in the terminal, or answer one prompt.",
                   "plimsoll run [options] [MODEL]");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (auto checked = Check(flags, line.OriginOf("--model")); !checked) {
    return checked;
  }
  auto form = ReadForm(flags.form);
  if (!form) {
    return Forward(form);
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  auto prompt = ReadPrompt(flags.prompt, context.console);
  if (!prompt) {
    return Forward(prompt);
  }
  if (!*prompt && (!context.console.in_is_terminal || flags.raw || flags.json)) {
    return Fail(ErrorKind::kUsage, "no prompt: give -p TEXT or -f FILE, or pipe text in");
  }
  flags.engine.engine.constrained = form->has_value();
  auto engine = LoadEngine(context.load, flags.engine, context.console);
  if (!engine) {
    return Forward(engine);
  }
  auto session = (*engine)->NewSession();
  if (!session) {
    return Forward(session);
  }
  KeptChat chat{.conversation = NewConversation(**engine, flags)};
  std::optional<ChatFile> file;
  if (!flags.session.empty()) {
    chat.file = &file.emplace(flags.session, **session);
    auto found = chat.file->Resume(chat.conversation);
    if (!found) {
      return Forward(found);
    }
    if (!flags.engine.quiet || !found->is_whole) {
      context.console.err << found->line << std::flush;
    }
  }
  const auto keeper = KeepLine(engine::LineOf(**engine), context,
                               {.command = "run",
                                .memory_origin = line.OriginOf("--memory"),
                                .floor = flags.memory_floor,
                                .quiet = flags.engine.quiet});
  AnswerFilters filters(*std::move(form), **engine, flags.raw);
  const Attention attention = {.interrupts = context.interrupts, .keeper = keeper.get()};
  return *prompt ? AnswerOnce(**prompt, flags, **engine, **session, chat, filters, attention,
                              context.console)
                 : ChatInTerminal(flags, **engine, **session, chat, filters, attention, context);
}

}  // namespace plimsoll::cli
