#include "engine/vocabulary_from_metadata.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace plimsoll::engine {
namespace {

using formats::Array;
using formats::Metadata;
using formats::Value;
using formats::ValueType;
using ::testing::HasSubstr;

void SetNumbers(Metadata& metadata, std::string key, std::vector<int64_t> numbers) {
  metadata.Set(std::move(key),
               Value{ValueType::kArray, Array{ValueType::kI32, std::move(numbers)}});
}

void SetFloats(Metadata& metadata, std::string key, std::vector<double> numbers) {
  metadata.Set(std::move(key),
               Value{ValueType::kArray, Array{ValueType::kF32, std::move(numbers)}});
}

Metadata Llama() {
  Metadata metadata;
  metadata.SetString("tokenizer.ggml.model", "llama");
  metadata.SetStrings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a"});
  SetFloats(metadata, "tokenizer.ggml.scores", {0, 0, 0, -1});
  SetNumbers(metadata, "tokenizer.ggml.token_type", {2, 3, 3, 0});
  return metadata;
}

std::string ErrorOf(const Metadata& metadata) {
  const auto spec = VocabularyFromMetadata(metadata);
  EXPECT_FALSE(spec);
  return spec ? "" : spec.error().message;
}

TEST(VocabularyFromMetadata, Gemma4ListsItsMerges) {
  Metadata metadata = Llama();
  metadata.SetString("tokenizer.ggml.model", "gemma4");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("tokenizer.ggml.merges"));
  metadata.SetStrings("tokenizer.ggml.merges", {"a a"});
  const auto spec = VocabularyFromMetadata(metadata);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->model, text::TokenizerModel::kSentencePieceBpe);
  EXPECT_TRUE(spec->lists_merges);
  EXPECT_EQ(spec->merges.size(), 1U);
  EXPECT_FALSE(spec->add_space_prefix);
  EXPECT_EQ(spec->add_bos, true);
}

TEST(VocabularyFromMetadata, ReadsTheKeysAndTheDefaultsOfTheFamily) {
  Metadata metadata = Llama();
  metadata.SetBool("tokenizer.ggml.add_eos_token", true);
  metadata.SetBool("tokenizer.ggml.add_space_prefix", false);
  metadata.SetU32("tokenizer.ggml.padding_token_id", 3);
  metadata.SetU32("tokenizer.ggml.eom_token_id", 3);
  const auto spec = VocabularyFromMetadata(metadata);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->model, text::TokenizerModel::kSentencePieceBpe);
  EXPECT_EQ(spec->bos, 1);
  EXPECT_EQ(spec->eos, 2);
  EXPECT_EQ(spec->unk, 0);
  EXPECT_EQ(spec->pad, 3);
  EXPECT_EQ(spec->add_bos, std::nullopt);
  EXPECT_EQ(spec->add_eos, true);
  EXPECT_FALSE(spec->add_space_prefix);
  EXPECT_EQ(spec->types[3], text::TokenType::kNormal) << "undefined counts as normal";
  EXPECT_EQ(spec->extra_end_tokens, std::vector<TokenId>{3});
}

TEST(VocabularyFromMetadata, AFoldersConfigurationAddsEndTokens) {
  const auto folder = std::filesystem::path(testing::TempDir()) /
                      ("plimsoll_vocabulary_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "tokenizer.json")
      << R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []},
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}})";
  Metadata metadata;
  metadata.SetString("plimsoll.tokenizer_json", (folder / "tokenizer.json").string());
  SetNumbers(metadata, "plimsoll.eos_token_ids", {2, 1, 77, -1});
  const auto spec = VocabularyFromMetadata(metadata);
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->extra_end_tokens, (std::vector<TokenId>{2, 1}));
}

TEST(VocabularyFromMetadata, RefusesWithTheKey) {
  EXPECT_THAT(ErrorOf({}), HasSubstr("tokenizer.ggml.model"));
  Metadata metadata = Llama();
  metadata.SetString("tokenizer.ggml.model", "bert");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("\"bert\" is not supported"));
  metadata.SetString("tokenizer.ggml.model", "gpt2");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("tokenizer.ggml.merges"));
  metadata = Llama();
  metadata.SetU32("tokenizer.ggml.tokens", 1);
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("tokenizer.ggml.tokens"));
  metadata = Llama();
  SetFloats(metadata, "tokenizer.ggml.scores", {0});
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("tokenizer.ggml.scores: 1 values for 4 tokens"));
  metadata = Llama();
  SetNumbers(metadata, "tokenizer.ggml.token_type", {1, 1, 7, 1});
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("token 2 has the unknown type 7"));
  metadata = Llama();
  metadata.SetU32("tokenizer.ggml.bos_token_id", 4);
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("tokenizer.ggml.bos_token_id: 4"));
}

}  // namespace
}  // namespace plimsoll::engine
