// Masks over public vocabularies are what every token alone says.
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "grammar/grammar_filter.h"
#include "grammar/json_schema.h"
#include "sampling/constrained_memory.h"
#include "tests/shared_folder.h"

namespace plimsoll {
namespace {

constexpr std::string_view kSchema =
    R"({"type":"object","properties":{"name":{"type":"string"},"code":{"type":"string",
        "maxLength":6},"tags":{"type":"array","items":{"enum":["red","green"]}}},
        "required":["name","code","tags"],"additionalProperties":false})";
constexpr std::string_view kAnswer =
    "{\"name\": \"J\xC3\xBCrgen \xF0\x9F\xA6\x8A\\n\", \"code\": \"a-b_c\", \"tags\": [\"red\", "
    "\"green\"]}";

TEST(GrammarMasks, AreWhatEveryTokenOfAVocabularySays) {
  const auto folder = tests::SharedFolder() / "data" / "vocab";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there";
  }
  auto automaton = grammar::Automaton::Compile(grammar::CompileJsonSchema(kSchema).value()).value();
  const auto shared = std::make_shared<const grammar::Automaton>(std::move(automaton));
  for (const char* name : {"gpt-2.gguf", "llama-spm.gguf", "deepseek-llm.gguf"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = engine::LoadTokenizer(folder / name);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    const auto masks = std::make_shared<grammar::TokenMasks>(
        std::make_shared<const grammar::VocabularyTrie>(**tokenizer), 32 << 20);
    grammar::GrammarFilter filter(shared, masks, "", true);
    // What was drawn before a mask was looked at does not matter.
    grammar::GrammarFilter undisturbed(shared, masks, "", true);
    for (const TokenId token : (*tokenizer)->Encode(kAnswer, {})) {
      const auto mask = filter.Mask();
      ASSERT_TRUE(mask);
      size_t n_wrong = 0;
      for (size_t i = 0; i < (*tokenizer)->size(); ++i) {
        const bool allowed = filter.Allows(static_cast<TokenId>(i));
        const bool masked = ((*mask)[i / 64] >> (i % 64) & 1) != 0;
        n_wrong += allowed != masked ? 1U : 0U;
      }
      ASSERT_EQ(n_wrong, 0U);
      ASSERT_TRUE(undisturbed.Allows(token)) << (*tokenizer)->Piece(token, true);
      filter.Accept(token);
      undisturbed.Accept(token);
    }
    EXPECT_TRUE(filter.IsOver());
    EXPECT_TRUE(undisturbed.IsOver());
  }
}

// What is kept and what the ledger has for it. A few places of an answer, and a mask of each.
void ExpectWithinBound(const text::Tokenizer& tokenizer) {
  const sampling::ConstrainedMemory bound = sampling::ConstrainedMemoryOf(tokenizer);
  const auto trie = std::make_shared<const grammar::VocabularyTrie>(tokenizer);
  EXPECT_LE(trie->MemoryBytes(), bound.vocabulary);
  EXPECT_GE(3 * trie->MemoryBytes(), bound.vocabulary) << "the bound is far from what it bounds";
  const auto masks =
      std::make_shared<grammar::TokenMasks>(trie, sampling::KeptMaskBytes(tokenizer.size()));
  for (uint32_t length = 1; length <= 1500; length += 100) {
    const std::string schema =
        fmt::format(R"({{"type":"array","items":{{"type":"string","maxLength":{}}}}})", length);
    auto automaton =
        grammar::Automaton::Compile(grammar::CompileJsonSchema(schema).value()).value();
    const auto shared = std::make_shared<const grammar::Automaton>(std::move(automaton));
    for (const std::string said : {"", "[", "[\"", "[\"a", "[\"a\"", "[\"a\","}) {
      grammar::GrammarFilter filter(shared, masks, said, true);
      EXPECT_TRUE(filter.Mask());
      ASSERT_LE(masks->totals().bytes, bound.masks);
    }
  }
}

TEST(ConstrainedMemory, BoundsWhatIsKeptForTheBundledModel) {
  const auto tokenizer = engine::LoadTokenizer(std::nullopt);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ExpectWithinBound(**tokenizer);
  EXPECT_LE(sampling::ConstrainedMemoryOf(**tokenizer).total(4), uint64_t{10} << 20);
}

TEST(ConstrainedMemory, BoundsWhatIsKeptForAVocabulary) {
  const auto folder = tests::SharedFolder() / "data" / "vocab";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there";
  }
  for (const char* name : {"gpt-2.gguf", "llama-spm.gguf", "deepseek-llm.gguf", "falcon.gguf"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = engine::LoadTokenizer(folder / name);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    ExpectWithinBound(**tokenizer);
    EXPECT_LE(sampling::ConstrainedMemoryOf(**tokenizer).total(32), uint64_t{88} << 20);
  }
}

}  // namespace
}  // namespace plimsoll
