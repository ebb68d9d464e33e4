#include "cli/chat.h"

#include <array>
#include <ostream>

#include "base/suggest.h"
#include "cli/answer.h"
#include "cli/stats.h"

namespace plimsoll::cli {
namespace {

constexpr std::string_view kPromptStyle = "1;32";
constexpr std::string_view kQuietStyle = "2";

constexpr std::string_view kHelp =
    "/reset         start a new conversation\n"
    "/system TEXT   set what the model is told first, and start anew; without TEXT: show it\n"
    "/stats         speed of the last answer, use of the context, memory\n"
    "/help          this list\n"
    "/exit          end; so does Ctrl-D\n"
    "A backslash at the end of a line continues the message on the next. Ctrl-C stops an answer.\n";

const std::array<std::string, 5> kChatCommands = {"/reset", "/system", "/stats", "/help", "/exit"};

// The escapes are between \1, which tell the line editor that they take no room. The space stands
// last because the editor drops an escape that no character follows.
std::string EditorPrompt(char mark, bool use_color) {
  if (!use_color) {
    return fmt::format("{} ", mark);
  }
  return fmt::format("\1\x1b[{}m\1{}\1\x1b[0m\1 ", kPromptStyle, mark);
}

}  // namespace

Result<> Chat::Run() {
  if (!s_.quiet) {
    Say(fmt::format("{}: type a message, /help for help, Ctrl-D to end.",
                    s_.engine.summary().name));
  }
  if (s_.attention.keeper != nullptr) {
    s_.lines.WhileIdle([this] { return s_.attention.keeper->Tend(); });
  }
  while (true) {
    const Line line =
        ReadMessage(s_.lines, EditorPrompt('>', s_.use_color), EditorPrompt('.', s_.use_color));
    if (line.kind == Line::Kind::kEnd) {
      break;
    }
    if (line.kind == Line::Kind::kInterrupted) {
      if (line.text.empty()) {
        return Fail(ErrorKind::kInterrupted, "interrupted");
      }
      continue;  // the line is dropped, as in a shell
    }
    if (line.text.find_first_not_of(" \t\n") == std::string::npos) {
      continue;
    }
    s_.lines.Remember(line.text);
    auto next = Obey(line.text);
    if (!next) {
      return Forward(next);
    }
    if (*next == Next::kEnd) {
      break;
    }
  }
  if (!s_.quiet && last_) {
    ShowStats();
  }
  return {};
}

Result<Chat::Next> Chat::Obey(const std::string& line) {
  if (line.starts_with('/')) {
    return Command(line);
  }
  auto answered = AnswerTo(line);
  if (!answered) {
    // What a shorter message or a new conversation can cure does not end the chat.
    if (answered.error().kind == ErrorKind::kIo) {
      return Forward(answered);
    }
    s_.console.err << "error: " << answered.error().message << std::endl;
  }
  return Next::kGoOn;
}

Chat::Next Chat::Command(const std::string& line) {
  const size_t space = std::min(line.find_first_of(" \n"), line.size());
  const std::string command = line.substr(0, space);
  const size_t text_begin = std::min(line.find_first_not_of(" \n", space), line.size());
  const std::string text = line.substr(text_begin);
  if (command == "/exit" || command == "/quit" || command == "/bye") {
    return Next::kEnd;
  }
  if (command == "/help") {
    s_.console.err << kHelp << std::flush;
  } else if (command == "/stats") {
    ShowStats();
  } else if (command == "/reset") {
    Reset();
    Say("A new conversation.");
  } else if (command == "/system" && !text.empty()) {
    s_.conversation.Reset(text);
    Reset();
    Say("A new conversation with this system message.");
  } else if (command == "/system") {
    const std::string& system = s_.conversation.system();
    Say(system.empty() ? "No system message." : system);
  } else {
    s_.console.err << "error: unknown command " << command << "."
                   << DidYouMean(command, kChatCommands)
                   << " /help lists them; a space before the slash sends it as text." << std::endl;
  }
  return Next::kGoOn;
}

Result<> Chat::AnswerTo(const std::string& question) {
  auto prompt = s_.conversation.Ask(question);
  if (!prompt) {
    return Forward(prompt);
  }
  auto filter = s_.filters.Make(s_.conversation.prompt(), *prompt);
  if (!filter) {
    s_.conversation.Retract();
    return Forward(filter);
  }
  const auto paging = s_.engine.paging();
  auto answer = Generate(s_.session, *prompt, s_.options, filter->get(), s_.console, s_.attention,
                         /*stream=*/true);
  if (!answer) {
    s_.conversation.Retract();
    return Forward(answer);
  }
  const bool ends_line = answer->text.ends_with('\n');
  s_.conversation.Answer(std::move(answer->text), s_.session.tokens());
  last_ = answer->stats;
  before_last_ = paging;
  ++n_answers_;
  if (!ends_line) {
    if (auto written = s_.console.Write("\n"); !written) {
      return written;
    }
  }
  if (answer->stats.reason == engine::FinishReason::kInterrupted) {
    Say("(stopped)");
  } else if (answer->stats.reason == engine::FinishReason::kContextFull) {
    Say(fmt::format("(the context of {} tokens is full: /reset, or start with a larger -c)",
                    s_.session.n_ctx()));
  }
  // A disk that is full is no reason to end the chat.
  if (s_.file != nullptr) {
    if (auto saved = s_.file->Save(s_.conversation); !saved) {
      s_.console.err << "error: " << saved.error().message << std::endl;
    }
  }
  return {};
}

void Chat::Reset() {
  s_.conversation.Reset();
  s_.session.Truncate(0);
}

void Chat::ShowStats() {
  std::string text;
  if (last_) {
    text += DescribeStats(*last_);
    text += DescribePaging(s_.engine.paging(), before_last_, *last_);
    text += DescribeStreaming(s_.engine.streaming());
  }
  text += fmt::format("context {} of {} tokens, {} answers\n", s_.session.tokens().size(),
                      s_.session.n_ctx(), n_answers_);
  text += DescribeMemory(s_.engine.ledger());
  s_.console.err << Styled(text, kQuietStyle, s_.use_color) << std::flush;
}

void Chat::Say(std::string_view text) {
  s_.console.err << Styled(text, kQuietStyle, s_.use_color) << std::endl;
}

}  // namespace plimsoll::cli
