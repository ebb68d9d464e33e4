// The public vocabularies of ../shared/data/vocab give exactly the ids that their makers'
// tokenizers give.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "tests/shared_folder.h"

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

class VocabConformance : public ::testing::TestWithParam<const char*> {};

TEST_P(VocabConformance, GivesTheExpectedIds) {
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

INSTANTIATE_TEST_SUITE_P(Public, VocabConformance,
                         ::testing::Values("deepseek-llm.gguf", "falcon.gguf", "gpt-2.gguf",
                                           "llama-spm.gguf"));

}  // namespace
}  // namespace plimsoll
