// An answer that is held to a grammar is the same alone, in company, after it gave its memory up,
// and whether masks are kept or not.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/batch/batcher.h"
#include "engine/engine.h"
#include "grammar/grammar_filter.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "kv/block_pool.h"
#include "sampling/constrained_memory.h"

namespace plimsoll {
namespace {

using engine::batch::Batcher;

struct Answer final : engine::GenerationSink {
  void OnText(std::string_view part, std::span<const engine::GeneratedToken> tokens) override {
    text += part;
    n_tokens += tokens.size();
  }
  void OnEnd(const engine::GenerationEnd& how) override { end = how; }

  std::string text;
  size_t n_tokens = 0;
  engine::GenerationEnd end;
};

std::unique_ptr<engine::Engine> Load(uint32_t n_parallel,
                                     std::optional<SizeSpec> memory = std::nullopt,
                                     bool constrained = true) {
  auto loaded = engine::Engine::Load({.memory = memory,
                                      .n_ctx = 128,
                                      .n_parallel = n_parallel,
                                      .n_threads = 1,
                                      .prefill_chunk = 64,
                                      .constrained = constrained,
                                      .batches = true},
                                     {});
  EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
  return std::move(*loaded);
}

using Automata = std::vector<std::shared_ptr<const grammar::Automaton>>;

Automata Forms() {
  Automata forms;
  for (auto compiled :
       {grammar::CompileJsonSchema(
            R"({"type":"object","properties":{"city":{"type":"string","maxLength":12},
                "n":{"type":"integer"}},"required":["city","n"],"additionalProperties":false})"),
        grammar::CompileRegex("[a-f]{3,12}(-[0-9]{2}){1,4}")}) {
    auto automaton = grammar::Automaton::Compile(std::move(compiled).value()).value();
    forms.push_back(std::make_shared<const grammar::Automaton>(std::move(automaton)));
  }
  return forms;
}

constexpr size_t kNAnswers = 10;

engine::GenerationRequest RequestOf(const engine::Engine& engine, const Automata& forms,
                                    const std::shared_ptr<grammar::TokenMasks>& masks, size_t i) {
  engine::GenerationRequest request;
  request.prompt =
      engine.tokenizer().Encode("<|im_start|>user\nTell me about " + std::to_string(i % 4) +
                                    ".<|im_end|>\n<|im_start|>assistant\n",
                                {.parse_special = true});
  request.options.n_predict = 60;
  auto& sampling = request.options.sampling;
  sampling.seed = i;
  sampling.temperature = i % 3 == 0 ? 0.0F : 1.5F;
  if (i % 2 == 0) {
    sampling.top_k = 0;
    sampling.top_p = 1;
    sampling.min_p = 0;
  }
  request.filter =
      std::make_shared<grammar::GrammarFilter>(forms[i % forms.size()], masks, "", true);
  return request;
}

std::shared_ptr<grammar::TokenMasks> MasksFor(const engine::Engine& engine, uint64_t max_bytes) {
  return std::make_shared<grammar::TokenMasks>(
      std::make_shared<const grammar::VocabularyTrie>(engine.tokenizer()), max_bytes);
}

void RunAll(Batcher& batcher) {
  while (batcher.Step(engine::batch::Clock::now()) != Batcher::Outcome::kIdle) {
  }
}

std::vector<std::string> Texts(const engine::Engine& engine, Batcher& batcher, uint64_t mask_bytes,
                               bool together) {
  const Automata forms = Forms();
  const auto masks = MasksFor(engine, mask_bytes);
  std::vector<std::shared_ptr<Answer>> answers;
  for (size_t i = 0; i < kNAnswers; ++i) {
    answers.push_back(std::make_shared<Answer>());
    batcher.Add(i + 1, RequestOf(engine, forms, masks, i), answers.back(),
                engine::batch::Clock::now());
    if (!together) {
      RunAll(batcher);
    }
  }
  RunAll(batcher);
  std::vector<std::string> texts;
  for (size_t i = 0; i < kNAnswers; ++i) {
    EXPECT_FALSE(answers[i]->end.error) << answers[i]->end.error->message;
    texts.push_back(answers[i]->text);
    // Without the token that ends a generation: nothing else could have followed.
    grammar::Matcher matcher(forms[i % forms.size()]);
    const auto state = matcher.Step(matcher.start(), answers[i]->text);
    EXPECT_NE(state, grammar::Matcher::kDead) << answers[i]->text;
    EXPECT_EQ(matcher.IsWhole(state), answers[i]->end.reason == engine::FinishReason::kEnd)
        << answers[i]->text;
  }
  return texts;
}

TEST(ConstrainedAnswers, AreTheSameAloneTogetherAndWithoutRoomForMasks) {
  const auto loaded = Load(4);
  const auto alone = Texts(*loaded, *loaded->NewBatcher({.n_parallel = 4}).value(), 1 << 24, false);
  EXPECT_EQ(Texts(*loaded, *loaded->NewBatcher({.n_parallel = 4}).value(), 1 << 24, true), alone);
  EXPECT_EQ(Texts(*loaded, *loaded->NewBatcher({.n_parallel = 4}).value(), 0, true), alone);
}

TEST(ConstrainedAnswers, AreTheSameOfASession) {
  const auto loaded = Load(2);
  const auto alone = Texts(*loaded, *loaded->NewBatcher({.n_parallel = 1}).value(), 1 << 24, false);
  const auto session = loaded->NewSession().value();
  const Automata forms = Forms();
  const auto masks = MasksFor(*loaded, 1 << 24);
  for (size_t i = 0; i < kNAnswers; ++i) {
    const auto request = RequestOf(*loaded, forms, masks, i);
    std::string text;
    const auto add = [&](std::string_view part) {
      text += part;
      return true;
    };
    const auto stats =
        session->Generate(request.prompt, request.options, add, request.filter.get());
    ASSERT_TRUE(stats) << stats.error().message;
    EXPECT_EQ(text, alone[i]);
  }
}

TEST(ConstrainedAnswers, FailWhereEverythingAllowedIsForbidden) {
  const auto loaded = Load(1);
  const auto session = loaded->NewSession().value();
  auto request = RequestOf(*loaded, Forms(), MasksFor(*loaded, 1 << 24), 0);
  for (size_t i = 0; i < loaded->tokenizer().size(); ++i) {
    if (loaded->tokenizer().Piece(static_cast<TokenId>(i), false).starts_with('{')) {
      request.options.sampling.logit_bias.emplace_back(static_cast<TokenId>(i), -INFINITY);
    }
  }
  const auto stats = session->Generate(
      request.prompt, request.options, [](std::string_view) { return true; }, request.filter.get());
  ASSERT_FALSE(stats);
  EXPECT_NE(stats.error().message.find("logit_bias"), std::string::npos) << stats.error().message;
}

// A line that holds what there must be for one context, and not a byte more.
std::unique_ptr<engine::Engine> LoadFull(bool constrained) {
  auto loaded = Load(1, std::nullopt, constrained);
  const memory::LedgerSnapshot least = loaded->ledger();
  EXPECT_TRUE(loaded->SetLine(least.reserved_bytes + least.kept_bytes));
  return loaded;
}

// The line holds one context.
TEST(ConstrainedAnswers, AreTheSameAfterTheyGaveTheirMemoryUp) {
  const auto roomy = Load(1);
  const auto alone = Texts(*roomy, *roomy->NewBatcher({.n_parallel = 1}).value(), 1 << 24, false);
  const auto tight = LoadFull(true);
  const auto batcher = tight->NewBatcher({.n_parallel = 1}).value();
  EXPECT_EQ(Texts(*tight, *batcher, 1 << 24, true), alone);
  EXPECT_GT(batcher->totals().n_preempted, 0U);
}

TEST(ConstrainedAnswers, WaitWhereThereIsNoRoomForTheirPlaces) {
  const auto roomy = Load(1);
  const auto alone = Texts(*roomy, *roomy->NewBatcher({.n_parallel = 1}).value(), 1 << 24, false);
  const auto full = LoadFull(true);
  const auto batcher = full->NewBatcher({.n_parallel = 1}).value();
  const uint64_t vocabulary = full->ledger().of(memory::Account::kVocab).bytes;
  const Automata forms = Forms();
  const auto masks = MasksFor(*full, 1 << 24);
  std::vector<std::shared_ptr<Answer>> answers;
  for (size_t i = 0; i < kNAnswers; ++i) {
    answers.push_back(std::make_shared<Answer>());
    auto request = RequestOf(*full, forms, masks, i);
    request.prompt.resize(1);  // so that keys and values are not what is short
    request.options.n_predict = 8;
    batcher->Add(i + 1, std::move(request), answers.back(), engine::batch::Clock::now());
  }
  size_t most = 0;
  while (batcher->Step(engine::batch::Clock::now()) != Batcher::Outcome::kIdle) {
    most = std::max(most, batcher->running().size());
    EXPECT_EQ(full->ledger().of(memory::Account::kVocab).bytes, vocabulary);
  }
  EXPECT_EQ(most, sampling::AnswersWithRoom(full->tokenizer().size(), 1));
  for (const auto& answer : answers) {
    EXPECT_FALSE(answer->end.error) << answer->end.error->message;
    EXPECT_GT(answer->n_tokens, 0U);
  }
  EXPECT_EQ(Texts(*full, *batcher, 1 << 24, true), alone);
}

TEST(ConstrainedAnswers, FailWhereThereNeverIsRoom) {
  const auto full = LoadFull(false);
  const auto batcher = full->NewBatcher({.n_parallel = 1}).value();
  const auto answer = std::make_shared<Answer>();
  batcher->Add(1, RequestOf(*full, Forms(), MasksFor(*full, 1 << 24), 0), answer,
               engine::batch::Clock::now());
  RunAll(*batcher);
  ASSERT_TRUE(answer->end.error);
  EXPECT_EQ(answer->end.error->kind, ErrorKind::kDoesNotFit);
}

}  // namespace
}  // namespace plimsoll
