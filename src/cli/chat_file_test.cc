#include "cli/chat_file.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_engine.h"

namespace plimsoll::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A conversation with a session of its own, which a file outlives.
class ChatFileTest : public testing::Test {
 protected:
  ChatFileTest() : path_(fs::temp_directory_path() / fmt::format("plimsoll-chat-{}", ::getpid())) {
    fs::remove(path_);
  }
  ~ChatFileTest() override { fs::remove(path_); }

  Conversation Begin(const std::string& system) const {
    return {tokenizer_,
            [this](std::span<const engine::ChatMessage> messages) {
              return engine::RenderChat(nullptr, tokenizer_, messages);
            },
            system};
  }
  // One question and its answer; the prompt.
  std::string Ask(Conversation& conversation, FakeSession& session, const std::string& question,
                  const std::string& answer) {
    const auto prompt = conversation.Ask(question).value();
    script_.answers = {answer};
    EXPECT_TRUE(session.Generate(
        prompt, {}, [](std::string_view) { return true; }, nullptr));
    conversation.Answer(answer, session.tokens());
    return tokenizer_.Decode(prompt, true);
  }
  void Touch() const { std::ofstream(path_) << "x"; }  // sessions of the test save elsewhere

  FakeTokenizer tokenizer_;
  FakeScript script_;
  fs::path path_;
};

TEST_F(ChatFileTest, AChatGoesOnWithTheTokensThatItWas) {
  Conversation first = Begin("Be brief.\n");
  FakeSession session(script_);
  ChatFile file(path_, session);
  EXPECT_EQ(file.Resume(first).value().line, "");
  Ask(first, session, "Hi", "Hello. 5\nassistant 3\n");
  ASSERT_TRUE(file.Save(first));
  Touch();

  Conversation second = Begin("");
  FakeSession later(script_);
  ChatFile again(path_, later);
  const auto found = again.Resume(second);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(found->line, HasSubstr("1 answer, "));
  EXPECT_TRUE(found->is_whole);
  EXPECT_EQ(second.system(), "Be brief.\n");
  EXPECT_EQ(second.n_answers(), 1U);
  const std::string expected = Ask(first, session, "And?", "Yes.");
  EXPECT_EQ(Ask(second, later, "And?", "Yes."), expected);
  // All but the end of the first answer, which is another token in the template.
  EXPECT_EQ(script_.reused[2], script_.reused[1]);
  EXPECT_GT(script_.reused[2], 20U);
}

TEST_F(ChatFileTest, TheSystemMessageIsTheFiles) {
  Conversation first = Begin("Be brief.");
  FakeSession session(script_);
  ChatFile file(path_, session);
  Ask(first, session, "Hi", "Hello.");
  ASSERT_TRUE(file.Save(first));
  Touch();
  Conversation same = Begin("Be brief.");
  EXPECT_TRUE(file.Resume(same));
  Conversation other = Begin("Be long.");
  EXPECT_EQ(file.Resume(other).error().kind, ErrorKind::kUsage);
}

TEST_F(ChatFileTest, WhatIsNoChatIsRefused) {
  FakeSession session(script_);
  ChatFile file(path_, session);
  Touch();
  const std::string sound = "plimsoll chat 1\nuser 2\nHi\nassistant 5\nHello\nknown-tokens 1\n0\n";
  const auto resumes = [&](const std::string& note) {
    script_.files[path_] = {{1, 2, 3}, note};
    Conversation conversation = Begin("");
    return file.Resume(conversation).has_value();
  };
  EXPECT_TRUE(resumes(sound));
  EXPECT_FALSE(resumes(""));
  EXPECT_FALSE(resumes("plimsoll chat 2\n"));
  EXPECT_FALSE(resumes(sound + "robot 2\nHi\n"));
  EXPECT_FALSE(resumes(sound + "user 3\nHi\n"));
  EXPECT_FALSE(resumes(sound + "user 99999999999999999999\nHi\n"));
  EXPECT_FALSE(resumes(sound + "user -1\nHi\n"));
  for (size_t n = 20; n < sound.size(); ++n) {
    static_cast<void>(resumes(sound.substr(0, n)));
  }
  // More known tokens than there are: none is known.
  EXPECT_TRUE(resumes("plimsoll chat 1\nknown-tokens 1\n9\nknown-text 2\nHi\n"));
}

TEST_F(ChatFileTest, AFolderThatIsNotThereIsSaidBeforeTheFirstAnswer) {
  FakeSession session(script_);
  Conversation conversation = Begin("");
  const auto found = ChatFile(path_ / "below" / "chat", session).Resume(conversation);
  EXPECT_EQ(found.error().kind, ErrorKind::kIo);
  EXPECT_THAT(found.error().message, HasSubstr("there is no folder"));
}

}  // namespace
}  // namespace plimsoll::cli
