#include "cli/chat.h"

#include <deque>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_engine.h"
#include "engine/chat.h"

namespace plimsoll::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class FakeLines final : public LineSource {
 public:
  explicit FakeLines(std::deque<Line> lines) : lines_(std::move(lines)) {}
  [[nodiscard]] Line Read(const std::string& prompt) override {
    prompts.push_back(prompt);
    if (lines_.empty()) return {Line::Kind::kEnd, ""};
    Line line = lines_.front();
    lines_.pop_front();
    return line;
  }
  void Remember(const std::string& text) override { remembered.push_back(text); }

  std::vector<std::string> prompts;
  std::vector<std::string> remembered;

 private:
  std::deque<Line> lines_;
};

Line Typed(std::string text) { return {Line::Kind::kText, std::move(text)}; }
Line Interrupted(std::string text) { return {Line::Kind::kInterrupted, std::move(text)}; }

struct Talk {
  explicit Talk(std::deque<Line> lines_in, std::deque<std::string> answers)
      : lines(std::move(lines_in)) {
    script.answers = std::move(answers);
  }

  Result<> Run() {
    FakeEngine engine(script);
    FakeSession session(script);
    const Console console = {.in = in, .out = out, .err = err};
    ChatFile file("kept", session);
    AnswerFilters filters(form, engine, false);
    const auto render = [&](std::span<const engine::ChatMessage> messages) {
      return engine::RenderChat(nullptr, engine.tokenizer(), messages);
    };
    return Chat({.console = console,
                 .engine = engine,
                 .session = session,
                 .conversation = Conversation(engine.tokenizer(), render, system),
                 .options = {},
                 .filters = filters,
                 .lines = lines,
                 .attention = {},
                 .file = is_kept ? &file : nullptr,
                 .use_color = false,
                 .quiet = true})
        .Run();
  }
  std::string Prompt(size_t i) const { return FakeTokenizer().Decode(script.prompts[i], true); }

  FakeScript script;
  FakeLines lines;
  std::string system;
  bool is_kept = false;
  std::optional<server::api::Constraint> form;
  std::stringstream in, out, err;
};

TEST(Chat, AnswersGoToStandardOutputAndTurnsKeepTheirTokens) {
  Talk talk({Typed("Hi"), Typed("And?")}, {"Hello.", "That is all."});
  ASSERT_TRUE(talk.Run());
  EXPECT_EQ(talk.out.str(), "Hello.\nThat is all.\n");
  EXPECT_EQ(talk.Prompt(1),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
            "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n");
  // All of the first prompt and answer, with the end token, is read from the KV cache.
  EXPECT_EQ(talk.script.reused[1], talk.script.prompts[0].size() + 7);
  EXPECT_THAT(talk.lines.remembered, ElementsAre("Hi", "And?"));
}

TEST(Chat, BackslashContinuesOnTheNextLine) {
  Talk talk({Typed("one\\"), Typed("two\\"), Typed("three")}, {"ok"});
  ASSERT_TRUE(talk.Run());
  EXPECT_THAT(talk.Prompt(0), HasSubstr("user\none\ntwo\nthree<|im_end|>"));
  EXPECT_THAT(talk.lines.prompts, ElementsAre("> ", ". ", ". ", "> "));
}

TEST(Chat, EveryAnswerIsHeldToItsForm) {
  Talk talk({Typed("Hi"), Typed("And?"), Typed("So?")}, {"yes", "no", "maybe"});
  talk.form = ReadForm({.grammar = R"(root ::= "yes" | "no")"}).value();
  ASSERT_TRUE(talk.Run());
  EXPECT_EQ(talk.out.str(), "yes\nno\n");
  EXPECT_EQ(talk.script.n_filtered, 3U);
  EXPECT_THAT(talk.err.str(), HasSubstr("'m' is not allowed"));
}

TEST(Chat, ResetStartsAnew) {
  Talk talk({Typed("Hi"), Typed("/reset"), Typed("Hi again")}, {"a", "b"});
  talk.system = "Be brief.";
  ASSERT_TRUE(talk.Run());
  EXPECT_EQ(talk.Prompt(1),
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>user\nHi again<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(talk.script.n_truncated_to_0, 1U);
  EXPECT_EQ(talk.script.reused[1], 0U);
}

TEST(Chat, SystemReplacesTheSystemMessage) {
  Talk talk({Typed("/system"), Typed("/system Rhyme."), Typed("/system"), Typed("Hi")}, {"a"});
  ASSERT_TRUE(talk.Run());
  EXPECT_THAT(talk.Prompt(0), HasSubstr("<|im_start|>system\nRhyme.<|im_end|>\n"));
  EXPECT_THAT(talk.err.str(), HasSubstr("No system message."));
  EXPECT_THAT(talk.err.str(), HasSubstr("\nRhyme.\n"));
}

TEST(Chat, StatsAndHelpGoToStandardError) {
  Talk talk({Typed("/help"), Typed("Hi"), Typed("/stats"), Typed("/exit"), Typed("never")},
            {"abc"});
  ASSERT_TRUE(talk.Run());
  EXPECT_EQ(talk.out.str(), "abc\n");
  EXPECT_THAT(talk.err.str(), HasSubstr("/system TEXT"));
  EXPECT_THAT(talk.err.str(), HasSubstr("decode 4 tokens at 6.00 tok/s, ended by the model"));
  EXPECT_THAT(talk.err.str(), HasSubstr("memory 0 B of 1.00 KiB"));
  EXPECT_EQ(talk.script.prompts.size(), 1U);
}

TEST(Chat, StatsTellThePagingOfTheLastAnswerAlone) {
  Talk talk({Typed("Hi"), Typed("And?"), Typed("/stats")}, {"abc", "defghi"});
  talk.script.paging.emplace();
  talk.script.paging->n_pages = 64;
  talk.script.paging->n_resident = 12;
  ASSERT_TRUE(talk.Run());
  EXPECT_THAT(talk.err.str(), HasSubstr("decode 7 tokens"));
  EXPECT_THAT(talk.err.str(), HasSubstr("experts 12 of 64 in memory; decode found 0.0 % there and "
                                        "read 1.00 KiB a token"));
}

TEST(Chat, UnknownCommandsAreNotSentToTheModel) {
  Talk talk({Typed("/rest"), Typed(" /rest")}, {"fine"});
  ASSERT_TRUE(talk.Run());
  EXPECT_THAT(talk.err.str(), HasSubstr("unknown command /rest. Did you mean /reset?"));
  ASSERT_EQ(talk.script.prompts.size(), 1U);
  EXPECT_THAT(talk.Prompt(0), HasSubstr("user\n /rest<"));
}

TEST(Chat, EmptyLinesAreNoQuestions) {
  Talk talk({Typed(""), Typed("  \t")}, {});
  ASSERT_TRUE(talk.Run());
  EXPECT_TRUE(talk.script.prompts.empty());
}

TEST(Chat, InterruptClearsALineAndEndsAtAnEmptyPrompt) {
  Talk talk({Interrupted("half a li"), Typed("Hi"), Interrupted(""), Typed("never")}, {"a"});
  auto done = talk.Run();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kInterrupted);
  EXPECT_EQ(talk.script.prompts.size(), 1U);
}

TEST(Chat, AMessageTooLongIsSaidAndForgotten) {
  Talk talk({Typed(std::string(300, 'x')), Typed("Hi")}, {"a"});
  talk.script.n_ctx = 200;
  ASSERT_TRUE(talk.Run());
  EXPECT_THAT(talk.err.str(), HasSubstr("do not fit a context of 200"));
  EXPECT_THAT(talk.Prompt(0), Not(HasSubstr("xxx")));
}

TEST(Chat, AFullDiskEndsIt) {
  Talk talk({Typed("Hi"), Typed("never")}, {"abc", "def"});
  talk.out.setstate(std::ios::badbit);
  auto done = talk.Run();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kIo);
  EXPECT_EQ(talk.script.prompts.size(), 1U);
}

TEST(Chat, IsSavedAfterEachAnswerAndGoesOnWhereItCannotBe) {
  Talk talk({Typed("Hi"), Typed("And?")}, {"Hello.", "That is all."});
  talk.is_kept = true;
  ASSERT_TRUE(talk.Run());
  ASSERT_TRUE(talk.script.files.contains("kept"));
  EXPECT_THAT(talk.script.files["kept"].note, HasSubstr("assistant 12\nThat is all.\n"));
  EXPECT_EQ(talk.err.str(), "");

  Talk full({Typed("Hi"), Typed("And?")}, {"Hello.", "That is all."});
  full.is_kept = true;
  full.script.save_error = Error{ErrorKind::kIo, "the disk is full"};
  ASSERT_TRUE(full.Run());
  EXPECT_EQ(full.out.str(), "Hello.\nThat is all.\n");
  EXPECT_THAT(full.err.str(), HasSubstr("error: the chat was not saved: the disk is full"));
}

TEST(Conversation, AnAnswerThatTheTemplateChangesIsEncodedAnew) {
  const FakeTokenizer tokenizer;
  // Shows an answer trimmed, as many templates do.
  const auto render = [](std::span<const engine::ChatMessage> messages) {
    std::string prompt;
    for (const auto& message : messages) {
      prompt +=
          "<|im_start|>" + message.content.substr(0, message.content.find('\n')) + "<|im_end|>";
    }
    return Result<std::string>(prompt);
  };
  Conversation conversation(tokenizer, render, "");
  auto sequence = *conversation.Ask("q");
  for (const char c : std::string("a\n")) sequence.push_back(c);
  conversation.Answer("a\n", sequence);
  EXPECT_EQ(tokenizer.Decode(*conversation.Ask("r"), true),
            "<|im_start|>q<|im_end|><|im_start|>a<|im_end|><|im_start|>r<|im_end|>");
}

TEST(EncodePrompt, PutsBosFirstOnce) {
  FakeTokenizer tokenizer;
  EXPECT_THAT(engine::EncodePrompt(tokenizer, "a"), ElementsAre('a'));
  tokenizer.wants_bos = true;
  EXPECT_THAT(engine::EncodePrompt(tokenizer, "a"), ElementsAre(kFakeBos, 'a'));
  EXPECT_THAT(engine::EncodePrompt(tokenizer, "<s>a"), ElementsAre(kFakeBos, 'a'));
  EXPECT_THAT(engine::EncodePrompt(tokenizer, ""), ElementsAre(kFakeBos));
}

}  // namespace
}  // namespace plimsoll::cli
