// The schemas that tests/conformance has for another validator: what is said to be valid, invalid
// and left out is so here.
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "grammar/json_schema.h"
#include "grammar/recognizer.h"
#include "grammar/sampler.h"

namespace plimsoll::grammar {
namespace {

struct CorpusLine {
  std::string about;
  std::string schema;
  std::string refused;  // what the message has
  std::vector<std::string> valid;
  std::vector<std::string> others;  // invalid, and valid ones that are not said
};

std::vector<std::string> TextsOf(const simdjson::dom::element& line, const char* key) {
  std::vector<std::string> texts;
  simdjson::dom::array values;
  if (line[key].get(values) == simdjson::SUCCESS) {
    for (const simdjson::dom::element value : values) texts.push_back(simdjson::minify(value));
  }
  return texts;
}

std::vector<CorpusLine> ReadCorpus(const std::string& name) {
  std::ifstream file(PLIMSOLL_SOURCE_DIR "/tests/conformance/schemas/" + name);
  std::vector<CorpusLine> lines;
  simdjson::dom::parser parser;
  for (std::string text; std::getline(file, text);) {
    const simdjson::dom::element line = parser.parse(text);
    CorpusLine one;
    one.about = std::string(std::string_view(line["about"]));
    one.schema = simdjson::minify(simdjson::dom::element(line["schema"]));
    std::string_view refused;
    if (line["refused"].get(refused) == simdjson::SUCCESS) one.refused = refused;
    one.valid = TextsOf(line, "valid");
    one.others = TextsOf(line, "invalid");
    for (std::string& unsaid : TextsOf(line, "unsaid")) one.others.push_back(std::move(unsaid));
    lines.push_back(std::move(one));
  }
  return lines;
}

GrammarLimits Patient() { return {.max_cpu_seconds = 10}; }  // for sanitizers

TEST(SchemaCorpus, SaysWhatIsValidAndNothingElse) {
  const std::vector<CorpusLine> corpus = ReadCorpus("supported.jsonl");
  EXPECT_GE(corpus.size(), 200U);
  for (const CorpusLine& line : corpus) {
    const auto grammar = CompileJsonSchema(line.schema, Patient());
    ASSERT_TRUE(grammar.has_value()) << line.about << ": " << grammar.error().message;
    for (const std::string& text : line.valid) {
      EXPECT_TRUE(Says(*grammar, text)) << line.about << ": " << text;
    }
    for (const std::string& text : line.others) {
      EXPECT_FALSE(Says(*grammar, text)) << line.about << ": " << text;
    }
  }
}

TEST(SchemaCorpus, RandomTextsAreJson) {
  simdjson::dom::parser parser;
  for (const CorpusLine& line : ReadCorpus("supported.jsonl")) {
    const auto grammar = CompileJsonSchema(line.schema, Patient());
    ASSERT_TRUE(grammar.has_value());
    Sampler sampler(*grammar, 1);
    ASSERT_TRUE(sampler.says_anything()) << line.about;
    for (int i = 0; i < 10; ++i) {
      const std::string text = sampler.Next();
      EXPECT_EQ(parser.parse(text).error(), simdjson::SUCCESS) << line.about << ": " << text;
    }
  }
}

TEST(SchemaCorpus, RefusesByName) {
  const std::vector<CorpusLine> corpus = ReadCorpus("refused.jsonl");
  EXPECT_GE(corpus.size(), 50U);
  for (const CorpusLine& line : corpus) {
    const auto grammar = CompileJsonSchema(line.schema, Patient());
    ASSERT_FALSE(grammar.has_value()) << line.about;
    EXPECT_THAT(grammar.error().message, testing::HasSubstr(line.refused)) << line.about;
  }
}

}  // namespace
}  // namespace plimsoll::grammar
