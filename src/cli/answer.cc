#include "cli/answer.h"

namespace plimsoll::cli {

Result<Answer> Generate(engine::Session& session, std::span<const TokenId> prompt,
                        const engine::GenerateOptions& options, const Console& console,
                        Interrupts* interrupts, bool stream) {
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
    return written.has_value() && (interrupts == nullptr || !interrupts->raised());
  };
  auto stats = session.Generate(prompt, options, on_text);
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
