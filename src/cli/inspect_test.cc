#include "cli/inspect.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <unistd.h>

#include "cli/inspect_report.h"
#include "formats/gguf/writer.h"

namespace plimsoll::cli {
namespace {

using formats::ValueType;
using tensor::DType;
using tensor::MakeShape;
using testing::HasSubstr;
using testing::Not;

TEST(FormatCountTest, ThreeDigits) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1.00 K");
  EXPECT_EQ(FormatCount(7'280'640), "7.28 M");
  EXPECT_EQ(FormatCount(999'999), "1.00 M");
  EXPECT_EQ(FormatCount(30'532'122'624), "30.5 G");
}

class InspectTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("plimsoll_inspect_" + std::to_string(::getpid()) + ".gguf");
    formats::Metadata metadata;
    metadata.SetString("general.architecture", "qwen3moe");
    metadata.SetString("general.name", "red \x1b[31m");
    metadata.SetU32("qwen3moe.expert_count", 4);
    metadata.SetU32("qwen3moe.expert_used_count", 1);
    metadata.SetF32("qwen3moe.eps", 1e-6F);
    metadata.SetStrings("tokenizer.ggml.tokens", std::vector<std::string>(100, "\"\n\xff"));
    metadata.Set("wide", {ValueType::kU64, UINT64_MAX});
    metadata.Set("nan", {ValueType::kF64, std::numeric_limits<double>::quiet_NaN()});
    const std::vector<formats::gguf::TensorDeclaration> tensors = {
        {"token_embd.weight", DType::kF32, MakeShape(8, 2)},
        {"blk.0.ffn_up_exps.weight", DType::kF16, MakeShape(8, 2, 4)}};
    auto writer = formats::gguf::Writer::Create(path_, metadata, tensors);
    ASSERT_TRUE(writer && writer->Append(std::vector<std::byte>(64)) &&
                writer->Append(std::vector<std::byte>(128)) && writer->Finish());
  }
  void TearDown() override { std::filesystem::remove(path_); }

  [[nodiscard]] std::string Run(bool tensors, bool json) const {
    std::ostringstream out;
    const auto done = Inspect({path_, tensors, json}, out);
    EXPECT_TRUE(done) << done.error().message;
    return out.str();
  }

  std::filesystem::path path_;
};

TEST_F(InspectTest, TextShowsWhatTheFileHolds) {
  const std::string text = Run(false, false);
  EXPECT_THAT(text, HasSubstr("  architecture  qwen3moe\n"));
  EXPECT_THAT(text, HasSubstr("  tensors       2: F16 128 B, F32 64 B\n"));
  EXPECT_THAT(text, HasSubstr("  parameters    80, 32 of them active for a token\n"));
  EXPECT_THAT(text, HasSubstr("[100 strings]  \"\"\\n\\xff\", "));
  EXPECT_THAT(text, HasSubstr("Read for one token: 128 B\n"));
  EXPECT_THAT(text, HasSubstr("1 of 4 experts"));
  EXPECT_THAT(text, HasSubstr("output (tied to the embedding)"));
  EXPECT_THAT(text, Not(HasSubstr("blk.0.ffn_up_exps.weight")));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("red \\x1b[31m"));
}

TEST_F(InspectTest, SaysWhichLayersAreNotUsed) {
  formats::Metadata metadata;
  metadata.SetString("general.architecture", "glm4moe");
  metadata.SetU32("glm4moe.block_count", 2);
  metadata.SetU32("glm4moe.nextn_predict_layers", 1);
  const std::vector<formats::gguf::TensorDeclaration> tensors = {
      {"token_embd.weight", DType::kF32, MakeShape(8, 2)},
      {"blk.1.nextn.enorm.weight", DType::kF32, MakeShape(8)}};
  auto writer = formats::gguf::Writer::Create(path_, metadata, tensors);
  ASSERT_TRUE(writer && writer->Append(std::vector<std::byte>(64)) &&
              writer->Append(std::vector<std::byte>(32)) && writer->Finish());
  EXPECT_THAT(Run(false, false),
              HasSubstr("  not used      1 layer that predicts further tokens: 32 B\n"));
  simdjson::dom::parser parser;
  const std::string text = Run(true, true);
  const simdjson::dom::element json = parser.parse(text);
  EXPECT_EQ(uint64_t(json["prediction_layers"]), 1U);
  EXPECT_EQ(std::string_view(json["tensors"].at(1)["kind"]), "prediction");
}

TEST_F(InspectTest, TensorsAreListedWhenAskedFor) {
  EXPECT_THAT(Run(true, false),
              testing::ContainsRegex("blk.0.ffn_up_exps.weight  F16 +\\[8, 2, 4\\] +128 B  "
                                     "plimsoll_inspect_[0-9]+.gguf at [0-9]+\n"));
}

TEST_F(InspectTest, JsonParsesAndSaysTheSame) {
  simdjson::dom::parser parser;
  const std::string text = Run(true, true);
  const simdjson::dom::element json = parser.parse(text);
  EXPECT_EQ(int64_t(json["schema_version"]), 1);
  EXPECT_EQ(std::string_view(json["name"]), "red \x1b[31m");
  EXPECT_EQ(uint64_t(json["metadata"]["wide"]["value"]), UINT64_MAX);
  EXPECT_TRUE(json["metadata"]["nan"]["value"].is_null());
  EXPECT_EQ(double(json["metadata"]["qwen3moe.eps"]["value"]), 1e-6);
  const auto tokens = json["metadata"]["tokenizer.ggml.tokens"];
  EXPECT_EQ(uint64_t(tokens["length"]), 100U);
  EXPECT_EQ(tokens["values"].get_array().size(), 64U);
  EXPECT_EQ(uint64_t(json["bytes_per_token"]["total"]), 128U);
  EXPECT_EQ(uint64_t(json["totals"]["parameters_active"]), 32U);
  EXPECT_EQ(std::string_view(json["tensors"].at(1)["kind"]), "experts");
  EXPECT_EQ(uint64_t(json["tensors"].at(1)["ranges"].at(0)["bytes"]), 128U);
}

TEST_F(InspectTest, ABadFileIsAnError) {
  std::ostringstream out;
  const auto done = Inspect({path_.string() + ".none", false, false}, out);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kIo);
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace plimsoll::cli
