#include "formats/safetensors/reader.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/safetensors/test_files.h"

namespace plimsoll::formats::safetensors {
namespace {

using tensor::DType;
using tensor::MakeShape;
using testing::HasSubstr;

constexpr std::string_view kDense =
    R"({"model_type":"llama","num_hidden_layers":1,"hidden_size":8,"intermediate_size":4,)"
    R"("num_attention_heads":2,"tie_word_embeddings":false})";
constexpr std::string_view kMoe =
    R"({"model_type":"olmoe","num_hidden_layers":1,"hidden_size":8,"intermediate_size":4,)"
    R"("num_attention_heads":2,"num_experts":2,"num_experts_per_tok":1})";

class SafetensorsFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("plimsoll_safetensors_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(std::string_view name, std::string_view bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  void ExpectRefused(const std::filesystem::path& name, const std::string& part) const {
    const auto catalogue = OpenModel(folder_ / name);
    ASSERT_FALSE(catalogue);
    EXPECT_EQ(catalogue.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(catalogue.error().message, HasSubstr(part));
  }
  // A dense model in two files.
  void WriteSharded() const {
    Write("config.json", kDense);
    Write("model-00001-of-00002.safetensors",
          TensorsJson().Add("model.embed_tokens.weight", "BF16", {5, 8}).File());
    Write("model-00002-of-00002.safetensors",
          TensorsJson().Add("lm_head.weight", "F16", {5, 8}).File());
    Write("model.safetensors.index.json",
          R"({"metadata":{},"weight_map":{)"
          R"("model.embed_tokens.weight":"model-00001-of-00002.safetensors",)"
          R"("lm_head.weight":"model-00002-of-00002.safetensors"}})");
  }

  std::filesystem::path folder_;
};

TEST_F(SafetensorsFolderTest, ASingleFileOpensWithGgufsNamesAndShapes) {
  Write("config.json", kDense);
  Write("model.safetensors", TensorsJson()
                                 .Add("model.layers.0.mlp.up_proj.weight", "BF16", {4, 8})
                                 .Add("model.norm.weight", "F32", {8})
                                 .Add("lm_head.weight", "F16", {5, 8})
                                 .File());
  for (const char* name : {"", "model.safetensors"}) {
    const auto catalogue = OpenModel(folder_ / name);
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    ASSERT_EQ(catalogue->tensors().size(), 3U);
    const TensorEntry* up = catalogue->Find("blk.0.ffn_up.weight");
    ASSERT_NE(up, nullptr);
    EXPECT_EQ(up->shape, MakeShape(8, 4));
    EXPECT_EQ(up->shape.n_dims, 2U);
    EXPECT_EQ(up->dtype, DType::kBF16);
    EXPECT_EQ(up->bytes, 64U);
    EXPECT_EQ(catalogue->Find("output.weight")->ranges[0].offset, up->ranges[0].offset + 64 + 32);
    EXPECT_EQ(*catalogue->metadata.String("general.name"), folder_.filename().string());
    EXPECT_FALSE(catalogue->metadata.Has("plimsoll.tokenizer_json"));
  }
}

TEST_F(SafetensorsFolderTest, AnyShardOrTheFolderOpensTheWhole) {
  WriteSharded();
  for (const char* name :
       {"", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    const auto catalogue = OpenModel(folder_ / name);
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    EXPECT_EQ(catalogue->files.size(), 2U);
    EXPECT_EQ(catalogue->Find("token_embd.weight")->ranges[0].file_idx, 0U);
    EXPECT_EQ(catalogue->Find("output.weight")->ranges[0].file_idx, 1U);
  }
}

TEST_F(SafetensorsFolderTest, ExpertsBecomeOneTensorOfSeveralRanges) {
  Write("config.json", kMoe);
  TensorsJson tensors;
  for (const char* expert : {"1", "0"}) {  // in any order
    for (const char* module : {"gate_proj", "up_proj"}) {
      tensors.Add(fmt::format("model.layers.0.mlp.experts.{}.{}.weight", expert, module), "BF16",
                  {4, 8});
    }
  }
  Write("model.safetensors", tensors.File());
  const auto catalogue = OpenModel(folder_);
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  ASSERT_EQ(catalogue->tensors().size(), 2U);
  const TensorEntry* up = catalogue->Find("blk.0.ffn_up_exps.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->shape, MakeShape(8, 4, 2));
  EXPECT_EQ(up->bytes, 128U);
  ASSERT_EQ(up->ranges.size(), 2U);
  EXPECT_EQ(up->ranges[0].bytes, 64U);
  EXPECT_EQ(up->ranges[0].offset, up->ranges[1].offset + 128);  // expert 0 is later in the file
}

TEST_F(SafetensorsFolderTest, IncompleteExpertsAreRefused) {
  Write("config.json", kMoe);
  const auto with = [&](const TensorsJson& tensors) { Write("model.safetensors", tensors.File()); };
  const auto name = [](int e) {
    return fmt::format("model.layers.0.mlp.experts.{}.up_proj.weight", e);
  };
  with(TensorsJson().Add(name(0), "BF16", {4, 8}));
  ExpectRefused("", "'blk.0.ffn_up_exps.weight' needs one matrix for each of 2 experts");
  with(TensorsJson().Add(name(0), "BF16", {4, 8}).Add(name(2), "BF16", {4, 8}));
  ExpectRefused("", "the files have 2, the last that of expert 2");
  with(TensorsJson().Add(name(0), "BF16", {4, 8}).Add(name(1), "BF16", {8, 4}));
  ExpectRefused("", "differ in shape or type");
  with(TensorsJson().Add(name(0), "BF16", {4, 8}).Add(name(1), "F16", {4, 8}));
  ExpectRefused("", "differ in shape or type");
  with(TensorsJson().Add(name(0), "BF16", {1, 1, 4, 8}).Add(name(1), "BF16", {1, 1, 4, 8}));
  ExpectRefused("", "too many for an expert's");
}

TEST_F(SafetensorsFolderTest, TiedModelsDoNotUseTheirOwnOutput) {
  std::string config(kDense);
  config.replace(config.find("false"), 5, "true");
  Write("config.json", config);
  Write("model.safetensors", TensorsJson().Add("lm_head.weight", "F16", {5, 8}).File());
  EXPECT_EQ(OpenModel(folder_)->Find("output.weight"), nullptr);
}

TEST_F(SafetensorsFolderTest, AnOutputThatIsMissingIsNamed) {
  Write("config.json", kDense);
  Write("model.safetensors", TensorsJson().Add("model.norm.weight", "F32", {8}).File());
  ExpectRefused("", "key 'tie_word_embeddings' is false, but no file has lm_head.weight");
}

TEST_F(SafetensorsFolderTest, UnknownTensorsAreNamed) {
  Write("config.json", kDense);
  Write("model.safetensors", TensorsJson().Add("model.patch.weight", "F32", {8}).File());
  ExpectRefused("", "model.safetensors: tensor 'model.patch.weight' is of no layout");
}

TEST_F(SafetensorsFolderTest, ShardsMustBeThoseOfTheIndex) {
  WriteSharded();
  Write("model-00002-of-00002.safetensors",
        TensorsJson().Add("model.norm.weight", "F32", {8}).File());
  ExpectRefused("", "tensor 'model.norm.weight' is not what model.safetensors.index.json says");
  Write("model-00002-of-00002.safetensors", TensorsJson().File());
  ExpectRefused("", "tensor 'lm_head.weight' is not in model-00002-of-00002.safetensors");
  std::filesystem::remove(folder_ / "model-00002-of-00002.safetensors");
  const auto missing = OpenModel(folder_);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("cannot open"));
}

TEST_F(SafetensorsFolderTest, AnIndexNamesPlainFilesOnly) {
  WriteSharded();
  const auto with = [&](std::string_view weight_map) {
    Write("model.safetensors.index.json", fmt::format(R"({{"weight_map":{}}})", weight_map));
  };
  for (const char* name : {"../x", "/etc/passwd", "a/b", "..", ".hidden", "", "a\\u0000b"}) {
    with(fmt::format(R"({{"t":"{}"}})", name));
    ExpectRefused("", "key 't': expected the plain name of a file in the same folder");
  }
  with(R"({"t":1})");
  ExpectRefused("", "key 't': expected the plain name");
  with(R"({"t":"a","t":"b"})");
  ExpectRefused("", "key 't': the tensor is there twice");
  with("{}");
  ExpectRefused("", "it names no tensor");
  with("[]");
  ExpectRefused("", "key 'weight_map': expected an object");
  Write("model.safetensors.index.json", "{}");
  ExpectRefused("", "key 'weight_map': it is missing");
}

TEST_F(SafetensorsFolderTest, TokenizerAndTemplateAreFound) {
  WriteSharded();
  Write("tokenizer.json", "{}");
  Write("tokenizer_config.json", R"({"chat_template":"from the config"})");
  auto catalogue = OpenModel(folder_);
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  const Metadata& m = catalogue->metadata;
  EXPECT_EQ(*m.String("plimsoll.tokenizer_json"), (folder_ / "tokenizer.json").string());
  EXPECT_EQ(*m.String("plimsoll.tokenizer_config"), (folder_ / "tokenizer_config.json").string());
  EXPECT_EQ(*m.String("tokenizer.chat_template"), "from the config");

  Write(
      "tokenizer_config.json",
      R"({"chat_template":[{"name":"default","template":"d"},{"name":"tool_use","template":"t"}]})");
  catalogue = OpenModel(folder_);
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  EXPECT_EQ(*catalogue->metadata.String("tokenizer.chat_template"), "d");
  EXPECT_EQ(*catalogue->metadata.String("tokenizer.chat_template.tool_use"), "t");

  Write("chat_template.jinja", "from the file");
  catalogue = OpenModel(folder_);
  EXPECT_EQ(*catalogue->metadata.String("tokenizer.chat_template"), "from the file");

  Write("tokenizer_config.json", R"({"chat_template":[1]})");
  ExpectRefused("", "key 'chat_template': expected a string or a list of named templates");
  Write("tokenizer_config.json", R"({"chat_template":1})");
  ExpectRefused("", "key 'chat_template': expected a string");
}

TEST_F(SafetensorsFolderTest, WithoutAConfigTheNextStepIsNamed) {
  Write("model.safetensors", TensorsJson().File());
  ExpectRefused("model.safetensors", "there is no config.json beside it");
  ExpectRefused("", "holds no model");
}

TEST_F(SafetensorsFolderTest, TwoFormatsInOneFolderAreTwoModels) {
  WriteSharded();
  Write("x.gguf", "GGUF");
  ExpectRefused("", "holds 2 models; name one of them:\n  model*.safetensors\n  x.gguf");
}

}  // namespace
}  // namespace plimsoll::formats::safetensors
