#include "cli/tokenize.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// With the bundled model.
std::string Tokenized(TokenizeOptions options, const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out;
  const auto done = Tokenize(options, in, out);
  EXPECT_TRUE(done) << done.error().message;
  return out.str();
}

std::string Decoded(const std::string& ids, bool bos = false) {
  TokenizeOptions options;
  options.decode = true;
  options.bos = bos;
  return Tokenized(options, ids);
}

TEST(Tokenize, WritesIdsOnOneLineAndReversesThem) {
  const std::string text = "What is the capital of France?\n  \xF0\x9F\x98\x80 \xFF";
  const std::string ids = Tokenized({}, text);
  EXPECT_THAT(ids, MatchesRegex("[0-9]+( [0-9]+)*\n"));
  EXPECT_EQ(Decoded(ids), text);
  TokenizeOptions prompt;
  prompt.prompt = text;
  EXPECT_EQ(Tokenized(prompt), ids);
  EXPECT_EQ(Tokenized({}, ""), "\n");
  EXPECT_EQ(Decoded(""), "");
}

TEST(Tokenize, ParsesControlTokensUnlessToldNotTo) {
  TokenizeOptions options;
  options.prompt = "<|im_start|>";
  EXPECT_EQ(Decoded(Tokenized(options)), "<|im_start|>");
  EXPECT_THAT(Tokenized(options), MatchesRegex("[0-9]+\n"));
  options.parse_special = false;
  EXPECT_THAT(Tokenized(options), HasSubstr(" "));
}

TEST(Tokenize, RefusesWhatIsNoId) {
  TokenizeOptions options;
  options.decode = true;
  std::istringstream in;
  std::ostringstream out;
  for (const char* ids : {"1 two", "-1", "99999999", "99999999999999999999", "1.5"}) {
    options.prompt = ids;
    const auto done = Tokenize(options, in, out);
    ASSERT_FALSE(done) << ids;
    EXPECT_EQ(done.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(done.error().message, HasSubstr("is no token id"));
  }
  EXPECT_EQ(out.str(), "");
}

TEST(Tokenize, NamesAModelThatIsNotThere) {
  TokenizeOptions options;
  options.model = "/nonexistent/model.gguf";
  std::istringstream in;
  std::ostringstream out;
  const auto done = Tokenize(options, in, out);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("/nonexistent/model.gguf"));
}

}  // namespace
}  // namespace plimsoll::cli
