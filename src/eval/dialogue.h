// Conversations whose answers are known, made from a seed: what a KV cache lives through. The kinds
// are those of SCBench (Li et al., "SCBench: A KV Cache-Centric Analysis of Long-Context Methods",
// ICLR 2025), in words that the bundled model was trained on.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::eval {

enum class Task : uint8_t {
  kSingleKey,      // one code in filler; a question about something else comes first
  kMultiKey,       // four codes, asked for one after another
  kSharedContext,  // four codes, asked for in requests that share nothing but the text before
  kMultiTurn,      // codes told and asked for in turns of small talk
  kState,          // a code that a later turn changes: the newest counts
  kMultiHop,       // a code that is said to be that of one of two other things
  kCopy,           // a list to repeat behind the filler, and what comes after one of its items
};

inline constexpr std::array kAllTasks = {
    Task::kSingleKey, Task::kMultiKey, Task::kSharedContext, Task::kMultiTurn,
    Task::kState,     Task::kMultiHop, Task::kCopy,
};
inline constexpr std::array kRetrievalTasks = {Task::kSingleKey, Task::kMultiKey,
                                               Task::kSharedContext};

[[nodiscard]] std::string_view TaskName(Task task);

struct Turn {
  std::string question;
  std::string answer;          // as the bundled model was trained to say it
  std::string value;           // what an answer must hold to be right
  bool is_small_talk = false;  // what was said before does not matter: not judged
};

struct Dialogue {
  Task task = Task::kSingleKey;
  std::string context;      // before the first question, in the same message
  std::vector<Turn> turns;  // two or more
  // Each turn is a request of its own: the context and one question. Else the turns are one
  // conversation.
  bool is_shared_context = false;
};

// The `idx`th dialogue of its task, with so many sentences of filler.
[[nodiscard]] Dialogue MakeDialogue(Task task, uint64_t seed, uint32_t idx, uint32_t n_filler);

}  // namespace plimsoll::eval
