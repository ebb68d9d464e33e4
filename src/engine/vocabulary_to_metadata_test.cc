#include "engine/vocabulary_to_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/vocabulary_from_metadata.h"
#include "text/word_patterns.h"

namespace plimsoll::engine {
namespace {

using formats::Metadata;
using testing::ElementsAre;
using testing::HasSubstr;
using text::SplitStep;
using text::TokenizerModel;
using text::TokenType;
using text::VocabularySpec;

VocabularySpec ByteBpe(std::vector<SplitStep> steps) {
  VocabularySpec spec;
  spec.split_steps = std::move(steps);
  spec.tokens = {"a", "b", "ab", "", "<s>"};
  spec.types = {TokenType::kNormal, TokenType::kNormal, TokenType::kNormal, TokenType::kUnused,
                TokenType::kControl};
  spec.merges = {"a b"};
  spec.bos = 4;
  spec.add_bos = true;
  return spec;
}

// Over characters, by merges, as tokenizer.json has what SentencePiece trained.
VocabularySpec Characters(std::vector<std::string> merges) {
  VocabularySpec spec;
  spec.model = TokenizerModel::kSentencePieceBpe;
  spec.tokens = {"<unk>", "a", "b", "ab", "aba", "bab", "<0x0A>", "<|tool_call>"};
  spec.types = {TokenType::kUnknown, TokenType::kNormal, TokenType::kNormal, TokenType::kNormal,
                TokenType::kNormal,  TokenType::kNormal, TokenType::kByte,   TokenType::kControl};
  spec.merges = std::move(merges);
  spec.add_space_prefix = false;
  return spec;
}

Metadata Of(std::string_view architecture) {
  Metadata metadata;
  metadata.SetString("general.architecture", std::string(architecture));
  return metadata;
}

std::string PreOf(const VocabularySpec& spec, std::string_view architecture) {
  Metadata metadata = Of(architecture);
  const auto set = VocabularyToMetadata(spec, spec.tokens.size(), metadata);
  return set ? std::string(*metadata.String("tokenizer.ggml.pre")) : set.error().message;
}

TEST(VocabularyToMetadata, ReadsBackAsItWas) {
  const VocabularySpec spec = ByteBpe({{std::string(text::kQwen2Pattern), true, true}});
  Metadata metadata = Of("qwen3");
  metadata.SetU32("tokenizer.ggml.eos_token_id", 2);
  const auto set = VocabularyToMetadata(spec, 6, metadata);
  ASSERT_TRUE(set) << set.error().message;
  const auto back = VocabularyFromMetadata(metadata);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->model, TokenizerModel::kByteBpe);
  EXPECT_EQ(back->pre_tokenizer, "qwen2");
  EXPECT_THAT(back->tokens, ElementsAre("a", "b", "ab", "[PAD3]", "<s>", "[PAD5]"));
  EXPECT_THAT(back->types,
              ElementsAre(TokenType::kNormal, TokenType::kNormal, TokenType::kNormal,
                          TokenType::kUnused, TokenType::kControl, TokenType::kUnused));
  EXPECT_THAT(back->merges, ElementsAre("a b"));
  EXPECT_EQ(back->bos, 4);
  EXPECT_EQ(back->eos, 2);
  EXPECT_EQ(back->add_bos, true);
  EXPECT_EQ(back->add_eos, false);
}

TEST(VocabularyToMetadata, PreTokenizersHaveTheNamesOfTheirPatterns) {
  const auto step = [](std::string_view pattern) {
    return SplitStep{std::string(pattern), true, true};
  };
  VocabularySpec llama3 = ByteBpe({step(text::kLlama3Pattern)});
  EXPECT_EQ(PreOf(llama3, "dots1"), "glm4");
  llama3.ignore_merges = true;
  EXPECT_EQ(PreOf(llama3, "llama"), "llama-bpe");
  EXPECT_EQ(PreOf(ByteBpe({step(text::kLlama3Pattern)}), "glm4moe"), "glm4");
  EXPECT_EQ(PreOf(ByteBpe({step(text::kGpt4oPattern)}), "gpt-oss"), "gpt-4o");
  EXPECT_EQ(PreOf(ByteBpe({step(text::kGpt4oPattern)}), "llama4"), "llama4");
  EXPECT_EQ(PreOf(ByteBpe({step("\\p{N}"), step(text::kGpt2Pattern)}), "granitemoe"), "refact");
  EXPECT_EQ(PreOf(ByteBpe({step(text::kTekkenPattern)}), "mistral3"), "tekken");
  EXPECT_THAT(PreOf(ByteBpe({step("x+")}), "llama"), HasSubstr("none that GGUF has a name for"));
  EXPECT_THAT(PreOf(ByteBpe({}), "llama"), HasSubstr("none that GGUF has a name for"));
}

TEST(VocabularyToMetadata, MergesBecomeScores) {
  Metadata metadata = Of("gemma3");
  const auto spec = Characters({"a b", "b ab", "ab a", "a ba"});
  const auto set = VocabularyToMetadata(spec, 8, metadata);
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(*metadata.String("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(*metadata.BoolOr("tokenizer.ggml.add_space_prefix", true), false);
  EXPECT_THAT(**metadata.Floats("tokenizer.ggml.scores"),
              ElementsAre(-1000, -5, -5, 0, -2, -1, 0, -1000));

  const auto torn = VocabularyToMetadata(Characters({"ab a", "b ab", "a ba"}), 8, metadata);
  ASSERT_FALSE(torn);
  EXPECT_THAT(torn.error().message, HasSubstr("model.merges make \"aba\" at several ranks"));
}

TEST(VocabularyToMetadata, Gemma4KeepsItsMergesAndShowsItsAnswersTokens) {
  Metadata metadata = Of("gemma4");
  const auto set = VocabularyToMetadata(Characters({"ab a", "b ab", "a ba"}), 8, metadata);
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(*metadata.String("tokenizer.ggml.model"), "gemma4");
  EXPECT_EQ((*metadata.Strings("tokenizer.ggml.merges"))->size(), 3U);
  EXPECT_EQ((**metadata.Integers("tokenizer.ggml.token_type")).back(),
            static_cast<int64_t>(TokenType::kUserDefined));
}

TEST(VocabularyToMetadata, WhatGgufCannotSayIsRefused) {
  Metadata metadata = Of("llama");
  const auto many = VocabularyToMetadata(Characters({}), 7, metadata);
  ASSERT_FALSE(many);
  EXPECT_THAT(many.error().message, HasSubstr("8 tokens, and the embedding has 7 rows"));
  VocabularySpec unigram = Characters({});
  unigram.model = TokenizerModel::kUnigram;
  EXPECT_THAT(VocabularyToMetadata(unigram, 8, metadata).error().message, HasSubstr("Unigram"));
}

}  // namespace
}  // namespace plimsoll::engine
