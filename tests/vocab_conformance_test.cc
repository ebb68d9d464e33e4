// The public vocabularies of ../shared/data/vocab give exactly the ids that their makers'
// tokenizers give.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "formats/catalogue.h"
#include "tests/shared_folder.h"
#include "text/tokenizer_json.h"

namespace plimsoll {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The texts of a .inp file: what stands between the separators, the last one to the end of the
// file.
std::vector<std::string> Texts(const std::string& file) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  size_t begin = 0;
  while (begin < file.size()) {
    const size_t end = std::min(file.find(kSeparator, begin), file.size());
    texts.push_back(file.substr(begin, end - begin));
    begin = end + kSeparator.size();
  }
  return texts;
}

std::vector<std::vector<TokenId>> Ids(const std::string& file) {
  std::vector<std::vector<TokenId>> ids;
  std::istringstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    ids.emplace_back(std::istream_iterator<TokenId>(numbers), std::istream_iterator<TokenId>());
  }
  return ids;
}

class PublicVocabulary : public ::testing::TestWithParam<const char*> {};

TEST_P(PublicVocabulary, GivesTheExpectedIds) {
  const std::string path = (tests::SharedFolder() / "data" / "vocab" / GetParam()).string();
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is absent (PLIMSOLL_SHARED names the folder)";
  }
  const auto tokenizer = engine::LoadTokenizer(path);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto texts = Texts(ReadFile(path + ".inp"));
  const auto expected = Ids(ReadFile(path + ".out"));
  ASSERT_EQ(texts.size(), expected.size());
  ASSERT_EQ(texts.size(), 46u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = (*tokenizer)->Encode(texts[i], {});
    EXPECT_EQ(ids, expected[i]) << "text " << i << ": " << ::testing::PrintToString(texts[i]);
    EXPECT_EQ((*tokenizer)->Decode(ids, false), texts[i]);
  }
}

// What the tokens of a byte-level vocabulary look like in a tokenizer.json.
std::string JsonString(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json.push_back('\\');
    }
    json.push_back(c);
  }
  return json + "\"";
}

std::string Gpt2Json(const formats::Metadata& metadata) {
  const auto& tokens = **metadata.Strings("tokenizer.ggml.tokens");
  const auto& merges = **metadata.Strings("tokenizer.ggml.merges");
  std::string json = R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
                        "added_tokens": [{"id": 50256, "content": "<|endoftext|>", "special": true}],
                        "model": {"type": "BPE", "vocab": {)";
  for (size_t id = 0; id < tokens.size(); ++id) {
    json += fmt::format("{}{}: {}", id == 0 ? "" : ",", JsonString(tokens[id]), id);
  }
  json += "}, \"merges\": [";
  for (size_t i = 0; i < merges.size(); ++i) {
    json += (i == 0 ? "" : ",") + JsonString(merges[i]);
  }
  return json + "]}}";
}

TEST(VocabConformance, TheSameVocabularyAsJsonGivesTheSameIds) {
  const std::string path = (tests::SharedFolder() / "data" / "vocab" / "gpt-2.gguf").string();
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is absent (PLIMSOLL_SHARED names the folder)";
  }
  const auto catalogue = formats::OpenModel(path);
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  auto spec = text::TokenizerJson(Gpt2Json(catalogue->metadata), "");
  ASSERT_TRUE(spec) << spec.error().message;
  const auto tokenizer = text::Tokenizer::Create(std::move(*spec));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto texts = Texts(ReadFile(path + ".inp"));
  const auto expected = Ids(ReadFile(path + ".out"));
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ((*tokenizer)->Encode(texts[i], {}), expected[i]);
  }
  EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(50256));
}

TEST(VocabConformance, AnyBytesRoundTrip) {
  for (const char* name : {"gpt-2.gguf", "llama-spm.gguf"}) {
    const std::string path = (tests::SharedFolder() / "data" / "vocab" / name).string();
    if (!std::filesystem::exists(path)) {
      GTEST_SKIP() << path << " is absent (PLIMSOLL_SHARED names the folder)";
    }
    const auto tokenizer = engine::LoadTokenizer(path);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    std::mt19937 rng(1);
    std::uniform_int_distribution<int> byte(0, 255);
    for (size_t i = 0; i < 2000; ++i) {
      std::string text(i % 50, '\0');
      std::generate(text.begin(), text.end(), [&] { return static_cast<char>(byte(rng)); });
      const auto ids = (*tokenizer)->Encode(text, {});
      ASSERT_EQ((*tokenizer)->Decode(ids, false), text) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(VocabConformance, PublicVocabulary,
                         ::testing::Values("deepseek-llm.gguf", "falcon.gguf", "gpt-2.gguf",
                                           "llama-spm.gguf"));

}  // namespace
}  // namespace plimsoll
