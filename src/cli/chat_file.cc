#include "cli/chat_file.h"

#include <system_error>

namespace plimsoll::cli {
namespace {

namespace fs = std::filesystem;

// Found out before an answer is computed that could not be kept.
Result<> CheckFolder(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code cause;
  if (!fs::is_directory(folder, cause)) {
    return Fail(ErrorKind::kIo, "cannot keep the chat in {}: there is no folder {}", path.string(),
                folder.string());
  }
  return {};
}

}  // namespace

Result<ChatFile::Found> ChatFile::Resume(Conversation& conversation) {
  std::error_code cause;
  if (!fs::exists(path_, cause)) {
    if (auto checked = CheckFolder(path_); !checked) {
      return Forward(checked);
    }
    return Found{};
  }
  auto restored = session_.Restore(path_);
  if (!restored) {
    return Fail(
        restored.error().kind,
        "{}\nnothing of it can be used: name another file, or remove this one to begin anew",
        restored.error().message);
  }
  const std::string wanted = conversation.system();
  if (auto recalled = conversation.Recall(restored->note, restored->tokens); !recalled) {
    session_.Truncate(0);
    return Fail(recalled.error().kind, "{}: {}", path_.string(), recalled.error().message);
  }
  if (!wanted.empty() && wanted != conversation.system()) {
    return Fail(ErrorKind::kUsage,
                "{} was begun with another system message\nleave --system out, or name a new file",
                path_.string());
  }
  const size_t n_answers = conversation.n_answers();
  std::string said =
      fmt::format("{}: {} {}", path_.string(), n_answers, n_answers == 1 ? "answer" : "answers");
  if (restored->problem.empty()) {
    return Found{.line = said + fmt::format(", {} of {} tokens from the file\n",
                                            restored->n_restored, restored->tokens.size())};
  }
  return Found{.line = said + fmt::format("; {}: the chat from token {} on is computed again\n",
                                          restored->problem, restored->n_restored),
               .is_whole = false};
}

Result<> ChatFile::Save(const Conversation& conversation) {
  auto saved = session_.Save(path_, conversation.Note());
  if (!saved) {
    return Fail(saved.error().kind, "the chat was not saved: {}", saved.error().message);
  }
  return {};
}

}  // namespace plimsoll::cli
