// A chat in the terminal.
#pragma once

#include <optional>
#include <string>

#include "cli/answer.h"
#include "cli/answer_form.h"
#include "cli/chat_file.h"
#include "cli/console.h"
#include "cli/conversation.h"
#include "cli/line_reader.h"
#include "engine/engine.h"

namespace plimsoll::cli {

// Reads questions, streams answers, keeps the conversation in one session's KV, obeys the commands
// that start with a slash.
class Chat {
 public:
  struct Setup {
    const Console& console;
    engine::Engine& engine;
    engine::Session& session;
    Conversation conversation;
    engine::GenerateOptions options;
    AnswerFilters& filters;
    LineSource& lines;
    Attention attention;
    ChatFile* file = nullptr;  // where the chat is kept; null: nowhere
    bool use_color = false;
    bool quiet = false;
  };
  explicit Chat(Setup setup) : s_(std::move(setup)) {}

  // Until the end of the input, /exit (both leave 0), or Ctrl-C at an empty prompt (kInterrupted).
  [[nodiscard]] Result<> Run();

 private:
  enum class Next { kGoOn, kEnd };

  [[nodiscard]] Result<Next> Obey(const std::string& line);
  [[nodiscard]] Next Command(const std::string& line);
  [[nodiscard]] Result<> AnswerTo(const std::string& question);
  void Reset();
  void ShowStats();
  void Say(std::string_view text);

  Setup s_;
  std::optional<engine::GenerateStats> last_;
  std::optional<engine::PagingSnapshot> before_last_;
  uint64_t n_answers_ = 0;
};

}  // namespace plimsoll::cli
