// A chat that is kept in a file, to go on with it in another run.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "cli/conversation.h"
#include "engine/engine.h"

namespace plimsoll::cli {

class ChatFile {
 public:
  // `session` outlives it.
  ChatFile(std::filesystem::path path, engine::Session& session)
      : path_(std::move(path)), session_(session) {}

  struct Found {
    std::string line;      // says what was found; "": there is no file yet
    bool is_whole = true;  // keys and values of all of it
  };
  // Goes on with what the file holds, if there is one: the conversation, and of its keys and values
  // those that are sound and this model's. kBadModel when nothing of the file can be believed,
  // kUsage when it was begun with another system message than the conversation has.
  [[nodiscard]] Result<Found> Resume(Conversation& conversation);
  // Replaces the file. kIo.
  [[nodiscard]] Result<> Save(const Conversation& conversation);

 private:
  std::filesystem::path path_;
  engine::Session& session_;
};

}  // namespace plimsoll::cli
