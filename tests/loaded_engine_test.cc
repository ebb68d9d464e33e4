// The engine as its users see it, on the bundled model.
#include <algorithm>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "engine/chat.h"
#include "engine/engine.h"

namespace plimsoll::engine {
namespace {

class LoadedEngine : public testing::Test {
 protected:
  static std::unique_ptr<Engine> Load(EngineOptions options = {}) {
    options.n_threads = 2;
    auto engine = Engine::Load(options, {});
    EXPECT_TRUE(engine) << engine.error().message;
    return engine ? std::move(*engine) : nullptr;
  }

  static std::vector<TokenId> Prompt(const Engine& engine, std::span<const ChatMessage> messages) {
    const auto text = RenderChat(*engine.chat_template(), engine.tokenizer(), messages);
    EXPECT_TRUE(text) << text.error().message;
    return engine.tokenizer().Encode(*text, {.add_bos_eos = true, .parse_special = true});
  }

  struct Answer {
    std::string text;
    GenerateStats stats;
  };
  static Answer Greedy(Session& session, std::span<const TokenId> prompt,
                       GenerateOptions options = {}) {
    options.sampling.temperature = 0;
    Answer answer;
    const auto stats = session.Generate(prompt, options, [&](std::string_view text) {
      answer.text += text;
      return true;
    });
    EXPECT_TRUE(stats) << stats.error().message;
    answer.stats = stats.value_or(GenerateStats{});
    return answer;
  }

  static std::vector<TokenId> Question(const Engine& engine, const std::string& text) {
    const ChatMessage message = {"user", text};
    return Prompt(engine, {&message, 1});
  }
};

TEST_F(LoadedEngine, AnswersAndReusesTheConversationsKv) {
  const auto engine = Load();
  const auto session = std::move(*engine->NewSession());
  std::vector<ChatMessage> messages = {{"user", "What is the capital of France?"}};
  const Answer first = Greedy(*session, Prompt(*engine, messages));
  EXPECT_NE(first.text.find("Paris"), std::string::npos) << first.text;
  EXPECT_EQ(first.stats.reason, FinishReason::kEnd);
  EXPECT_EQ(first.stats.n_prompt_reused, 0U);

  messages.push_back({"assistant", first.text});
  messages.push_back({"user", "What is the capital of Spain?"});
  const auto prompt = Prompt(*engine, messages);
  const Answer second = Greedy(*session, prompt);
  EXPECT_NE(second.text.find("Madrid"), std::string::npos) << second.text;
  EXPECT_GT(second.stats.n_prompt_reused, prompt.size() / 2);

  const auto fresh = std::move(*engine->NewSession());
  EXPECT_EQ(Greedy(*fresh, prompt).text, second.text);
}

TEST_F(LoadedEngine, TheWholePromptCanBeThereAlready) {
  const auto engine = Load();
  const auto session = std::move(*engine->NewSession());
  const auto prompt = Question(*engine, "What is the capital of Italy?");
  const Answer first = Greedy(*session, prompt);
  const Answer again = Greedy(*session, prompt);
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.stats.n_prompt_reused, prompt.size() - 1);
}

TEST_F(LoadedEngine, ChunksAndKernelsDoNotChangeTheAnswer) {
  const std::string question = "Tell me a story about a fox called Ada.";
  const auto whole = Load();
  const auto chunked = Load({.prefill_chunk = 3, .kernels = "ref"});
  const auto a = std::move(*whole->NewSession());
  const auto b = std::move(*chunked->NewSession());
  EXPECT_EQ(Greedy(*a, Question(*whole, question), {.n_predict = 40}).text,
            Greedy(*b, Question(*chunked, question), {.n_predict = 40}).text);
}

TEST_F(LoadedEngine, SamplingFollowsItsSeed) {
  const auto engine = Load();
  const auto prompt = Question(*engine, "Tell me a story about a fox called Ada.");
  const auto say = [&](uint64_t seed) {
    const auto session = std::move(*engine->NewSession());
    GenerateOptions options = {.n_predict = 40};
    options.sampling.temperature = 1.0F;
    options.sampling.seed = seed;
    std::string text;
    EXPECT_TRUE(session->Generate(prompt, options, [&](std::string_view part) {
      text += part;
      return true;
    }));
    return text;
  };
  EXPECT_EQ(say(1), say(1));
  EXPECT_NE(say(1), say(2));
}

TEST_F(LoadedEngine, StopsAtStringsAtLengthsAndWhenAskedTo) {
  const auto engine = Load();
  const auto session = std::move(*engine->NewSession());
  const auto prompt = Question(*engine, "What is the capital of France?");
  const Answer whole = Greedy(*session, prompt);

  const Answer stopped = Greedy(*session, prompt, {.stop = {"of France"}});
  EXPECT_EQ(stopped.stats.reason, FinishReason::kStopString);
  EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find("of France")));

  const Answer shortened = Greedy(*session, prompt, {.n_predict = 2});
  EXPECT_EQ(shortened.stats.reason, FinishReason::kLength);
  EXPECT_EQ(shortened.stats.n_generated, 2U);
  EXPECT_TRUE(whole.text.starts_with(shortened.text));

  const auto interrupted =
      session->Generate(prompt, {}, [](std::string_view /*text*/) { return false; });
  ASSERT_TRUE(interrupted);
  EXPECT_EQ(interrupted->reason, FinishReason::kInterrupted);
  EXPECT_EQ(Greedy(*session, prompt).text, whole.text);  // and goes on as if nothing had been
}

TEST_F(LoadedEngine, AFullContextEndsTheAnswerAndALongPromptIsRefused) {
  const auto engine = Load({.n_ctx = 32});
  const auto session = std::move(*engine->NewSession());
  const auto prompt = Question(*engine, "What is the capital of France?");
  const Answer answer = Greedy(*session, prompt, {.ignore_end = true});
  EXPECT_EQ(answer.stats.reason, FinishReason::kContextFull);
  // The last token is drawn from the last place's logits and needs no place of its own.
  EXPECT_EQ(prompt.size() + answer.stats.n_generated, 33U);

  const std::vector<TokenId> too_long(33, prompt[0]);
  const auto refused = session->Generate(too_long, {}, [](std::string_view) { return true; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_NE(refused.error().message.find("33 tokens do not fit the context of 32"),
            std::string::npos);
}

TEST_F(LoadedEngine, TokensOutsideTheVocabularyAreRefused) {
  const auto engine = Load();
  const auto session = std::move(*engine->NewSession());
  for (const TokenId bad : {-1, 2048, 1 << 30}) {
    EXPECT_FALSE(session->Append({&bad, 1}, {})) << bad;
  }
  EXPECT_EQ(session->tokens().size(), 0U);
}

TEST_F(LoadedEngine, ALineThatIsTooLowIsRefusedWithTheNumbers) {
  const auto engine = Engine::Load({.memory = SizeSpec{.bytes = 4 * kMiB}}, {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_NE(engine.error().message.find("the line is 4.00 MiB"), std::string::npos)
      << engine.error().message;
  EXPECT_NE(engine.error().message.find("--memory"), std::string::npos);
}

TEST_F(LoadedEngine, ATightLineShortensChunksNotAnswers) {
  const std::string question = "What is the capital of Norway?";
  const auto roomy = Load({.n_ctx = 256});
  // Too little for a chunk of 512 beside the weights.
  const auto tight = Load({.memory = SizeSpec{.bytes = 11 * kMiB}, .n_ctx = 256});
  ASSERT_TRUE(roomy && tight);
  const auto scratch = [](const Engine& e) {
    return e.ledger().accounts[static_cast<size_t>(memory::Account::kScratch)].bytes;
  };
  EXPECT_LT(scratch(*tight), scratch(*roomy));
  const auto a = std::move(*roomy->NewSession());
  const auto b = std::move(*tight->NewSession());
  EXPECT_EQ(Greedy(*a, Question(*roomy, question)).text,
            Greedy(*b, Question(*tight, question)).text);
  EXPECT_LE(tight->ledger().high_water_bytes, 11 * kMiB);
}

TEST_F(LoadedEngine, ASecondSessionNeedsRoomOfItsOwn) {
  const auto engine = Load({.memory = SizeSpec{.bytes = 11 * kMiB}, .n_ctx = 256});
  ASSERT_TRUE(engine);
  std::vector<std::unique_ptr<Session>> sessions;
  Result<> last = {};
  for (int i = 0; i < 64 && last; ++i) {
    auto session = engine->NewSession();
    if (session) {
      sessions.push_back(std::move(*session));
    } else {
      last = Forward(session);
    }
  }
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_GE(sessions.size(), 1U);
  sessions.pop_back();
  EXPECT_TRUE(engine->NewSession());  // what was given back is there again
}

}  // namespace
}  // namespace plimsoll::engine
