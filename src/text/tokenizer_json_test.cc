#include "text/tokenizer_json.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace plimsoll::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kByteLevel = R"json({
  "version": "1.0",
  "added_tokens": [
    {"id": 6, "content": "<|im_end|>", "special": true, "rstrip": true},
    {"id": 8, "content": "<tool>", "special": false}
  ],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "ignore_merges": false,
    "vocab": {"a": 0, "b": 1, "ab": 2, "\u0120": 3, "\u0120ab": 4, "!": 5},
    "merges": ["a b", ["\u0120", "ab"]]}
})json";

constexpr std::string_view kMetaspace = R"json({
  "added_tokens": [{"id": 0, "content": "<unk>", "special": true},
                   {"id": 1, "content": "<s>", "special": true}],
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "\u2581"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
  "decoder": {"type": "Sequence", "decoders": []},
  "model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>",
    "vocab": {"<unk>": 0, "<s>": 1, "<0xC3>": 2, "<0xA4>": 3, "\u2581": 4, "a": 5, "\u2581a": 6},
    "merges": ["\u2581 a"]}
})json";

constexpr std::string_view kUnigram = R"json({
  "normalizer": null,
  "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"},
  "model": {"type": "Unigram", "unk_id": 0,
    "vocab": [["<unk>", 0], ["\u2581a", -1.5], ["a", -2.5], ["\u2581", -3]]}
})json";

std::unique_ptr<const Tokenizer> Make(std::string_view json, std::string_view config = "") {
  auto spec = TokenizerJson(json, config);
  EXPECT_TRUE(spec) << spec.error().message;
  auto tokenizer = Tokenizer::Create(std::move(*spec));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

std::string Replaced(std::string_view json, std::string_view from, std::string_view to) {
  std::string text(json);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string ErrorOf(std::string_view json) {
  const auto spec = TokenizerJson(json, "");
  EXPECT_FALSE(spec);
  return spec ? "" : spec.error().message;
}

TEST(TokenizerJson, ReadsAByteLevelBpe) {
  const auto tokenizer =
      Make(kByteLevel, R"({"bos_token": null, "eos_token": {"content": "<|im_end|>"},
                                              "add_bos_token": false})");
  EXPECT_EQ(tokenizer->size(), 9u);
  EXPECT_EQ(tokenizer->spec().normalization, Normalization::kNfc);
  EXPECT_EQ(tokenizer->spec().eos, 6);
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(6));
  EXPECT_THAT(tokenizer->Encode("ab ab!", {}), ElementsAre(2, 4, 5));
  EXPECT_THAT(tokenizer->Encode("<|im_end|> \nab<tool>", {.parse_special = true}),
              ElementsAre(6, 2, 8));
  EXPECT_EQ(tokenizer->spec().types[7], TokenType::kUnused) << "an id that nothing names";
}

TEST(TokenizerJson, ReadsABpeOverCharacters) {
  const auto tokenizer = Make(kMetaspace);
  EXPECT_EQ(tokenizer->spec().model, TokenizerModel::kSentencePieceBpe);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_THAT(tokenizer->Encode("a \u00E4", {.add_bos_eos = true}), ElementsAre(1, 6, 4, 2, 3));
  EXPECT_THAT(tokenizer->Encode("\u4E2D", {}), ElementsAre(4, 0));
}

TEST(TokenizerJson, ReadsAUnigramModel) {
  const auto tokenizer = Make(kUnigram);
  EXPECT_THAT(tokenizer->Encode("a aa", {}), ElementsAre(1, 1, 2));
  EXPECT_FALSE(tokenizer->spec().space_prefix_after_special);
  EXPECT_FALSE(tokenizer->adds_eos());
}

TEST(TokenizerJson, RefusesWithTheField) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("tokenizer.json: "));
  EXPECT_THAT(ErrorOf("[1]"), HasSubstr("tokenizer.json: "));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("model: missing"));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "\"BPE\"", "\"WordPiece\"")),
              HasSubstr("model.type: \"WordPiece\" is not supported"));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "\"b\": 1", "\"b\": -1")),
              HasSubstr("model.vocab[\"b\"]"));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "\"b\": 1", "\"b\": 0")), HasSubstr("the id 0"));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "\"b\": 1", "\"b\": 9999999")), HasSubstr("ids up to"));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "\"a b\"", "7")), HasSubstr("model.merges[0]"));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "NFC", "Lowercase")),
              HasSubstr("normalizer.type: \"Lowercase\""));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "Isolated", "MergedWithNext")),
              HasSubstr("behavior: \"MergedWithNext\""));
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "\"id\": 6, ", "")), HasSubstr("added_tokens[0].id"));
  EXPECT_THAT(ErrorOf(Replaced(kUnigram, "\"unk_id\": 0", "\"unk_id\": 4")),
              HasSubstr("unk_id: 4"));
}

TEST(TokenizerJson, RefusesSequencesThatAreNestedTooDeep) {
  std::string nested = "{\"type\": \"NFC\"}";
  for (int i = 0; i < 100; ++i) {
    nested = "{\"type\": \"Sequence\", \"normalizers\": [" + nested + "]}";
  }
  EXPECT_THAT(ErrorOf(Replaced(kByteLevel, "{\"type\": \"NFC\"}", nested)), HasSubstr("too deep"));
}

}  // namespace
}  // namespace plimsoll::text
