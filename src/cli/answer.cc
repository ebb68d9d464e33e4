#include "cli/answer.h"

#include <ostream>

namespace plimsoll::cli {
namespace {

// On a line of its own, also where the text is on the same screen.
void Say(const std::string& message, const Answer& answer, const Console& console) {
  const bool in_line = console.out_is_terminal && console.err_is_terminal && !answer.text.empty() &&
                       !answer.text.ends_with('\n');
  if (!message.empty()) {
    console.err << (in_line ? "\n" : "") << message << std::flush;
  }
}

}  // namespace

Result<Answer> Generate(engine::Session& session, std::span<const TokenId> prompt,
                        const engine::GenerateOptions& options, sampling::TokenFilter* filter,
                        const Console& console, const Attention& attention, bool stream) {
  Interrupts* const interrupts = attention.interrupts;
  if (interrupts != nullptr) {
    interrupts->SetMode(Interrupts::Mode::kAnswer);
  }
  Answer answer;
  Result<> written;
  const auto on_text = [&](std::string_view text) {
    answer.text += text;
    if (stream && !text.empty()) {
      written = console.Write(console.out_is_terminal ? TerminalSafe(text) : std::string(text));
    }
    if (attention.keeper != nullptr) {
      Say(attention.keeper->Tend(), answer, console);
    }
    return written.has_value() && (interrupts == nullptr || !interrupts->raised());
  };
  auto stats = session.Generate(prompt, options, on_text, filter);
  if (!written) {
    return Forward(written);
  }
  if (!stats) {
    return Forward(stats);
  }
  answer.stats = *stats;
  return answer;
}

}  // namespace plimsoll::cli
