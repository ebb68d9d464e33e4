#include "eval/dialogue.h"

#include <set>

#include <gmock/gmock.h>

namespace plimsoll::eval {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string AllOf(const Dialogue& dialogue) {
  std::string text = dialogue.context;
  for (const Turn& turn : dialogue.turns) {
    text += "\n" + turn.question + "\n" + turn.answer;
  }
  return text;
}

// Golden: the same seed makes the same dialogue on every machine and in every version.
TEST(Dialogue, IsDecidedByItsSeed) {
  const Dialogue dialogue = MakeDialogue(Task::kSingleKey, 1, 0, 2);
  EXPECT_EQ(AllOf(dialogue),
            "The bear by the village was brave. The code of the blue hammer is 7047. "
            "In the evening Finn felt proud and went home.\n"
            "What is the capital of Germany?\nThe capital of Germany is Berlin.\n"
            "What is the code of the blue hammer?\nThe code of the blue hammer is 7047.");
}

TEST(Dialogue, DiffersByTaskSeedAndIndex) {
  std::set<std::string> texts;
  for (const Task task : kAllTasks) {
    for (const uint64_t seed : {1U, 2U}) {
      for (const uint32_t idx : {0U, 1U}) {
        texts.insert(AllOf(MakeDialogue(task, seed, idx, 3)));
      }
    }
  }
  EXPECT_EQ(texts.size(), kAllTasks.size() * 4);
}

// Every judged answer was told before it is asked for, and no question gives it away.
TEST(Dialogue, TellsBeforeItAsks) {
  for (const Task task : kAllTasks) {
    for (uint32_t idx = 0; idx < 50; ++idx) {
      const Dialogue dialogue = MakeDialogue(task, 7, idx, idx % 9);
      ASSERT_GE(dialogue.turns.size(), 2U);
      std::string told = dialogue.context;
      for (size_t i = 0; i < dialogue.turns.size(); ++i) {
        const Turn& turn = dialogue.turns[i];
        EXPECT_THAT(turn.answer, HasSubstr(turn.value));
        if (!turn.is_small_talk && !turn.question.starts_with("Repeat: ")) {
          EXPECT_THAT(told, HasSubstr(turn.value)) << TaskName(task) << " " << idx;
          EXPECT_THAT(turn.question, Not(HasSubstr(turn.value))) << TaskName(task) << " " << idx;
        }
        told += " " + turn.question;
      }
    }
  }
}

TEST(Dialogue, HasAJudgedLaterTurn) {
  for (const Task task : kAllTasks) {
    const Dialogue dialogue = MakeDialogue(task, 3, 0, 4);
    EXPECT_TRUE(std::any_of(dialogue.turns.begin() + 1, dialogue.turns.end(), [](const Turn& turn) {
      return !turn.is_small_talk;
    })) << TaskName(task);
    EXPECT_EQ(dialogue.is_shared_context, task == Task::kSharedContext);
  }
}

TEST(Dialogue, AsksForTheNewestState) {
  for (uint32_t idx = 0; idx < 20; ++idx) {
    const Dialogue dialogue = MakeDialogue(Task::kState, 5, idx, 4);
    const Turn& asked = dialogue.turns[2];
    EXPECT_THAT(dialogue.turns[1].question, HasSubstr(asked.value));
    EXPECT_THAT(dialogue.context, Not(HasSubstr(asked.value)));
    EXPECT_THAT(asked.question, HasSubstr("What is the code of the "));
  }
}

TEST(Dialogue, GrowsWithItsFiller) {
  for (const Task task : kAllTasks) {
    EXPECT_GT(AllOf(MakeDialogue(task, 1, 0, 40)).size(),
              AllOf(MakeDialogue(task, 1, 0, 4)).size() + 36 * 20)
        << TaskName(task);
  }
}

}  // namespace
}  // namespace plimsoll::eval
