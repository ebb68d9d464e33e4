#include "engine/pack_model.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/gguf/writer.h"
#include "formats/packed/packed_file.h"
#include "model/test_catalogue.h"

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;
using formats::packed::PackedFile;
using tensor::DType;
using tensor::MakeShape;
using testing::HasSubstr;

class PackModelTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    fs::copy_file(fs::path(PLIMSOLL_SOURCE_DIR) / "models" / "plimsoll-lab-q8_0.gguf", model_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // A llama without experts.
  void WriteDenseModel(const fs::path& path) const {
    std::vector<formats::gguf::TensorDeclaration> tensors = {
        {"token_embd.weight", DType::kF32, MakeShape(64, 300)},
        {"output_norm.weight", DType::kF32, MakeShape(64)}};
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      tensors.push_back({layer + "attn_norm.weight", DType::kF32, MakeShape(64)});
      tensors.push_back({layer + "attn_q.weight", DType::kF32, MakeShape(64, 64)});
      tensors.push_back({layer + "attn_k.weight", DType::kF32, MakeShape(64, 32)});
      tensors.push_back({layer + "attn_v.weight", DType::kF32, MakeShape(64, 32)});
      tensors.push_back({layer + "attn_output.weight", DType::kF32, MakeShape(64, 64)});
      tensors.push_back({layer + "ffn_norm.weight", DType::kF32, MakeShape(64)});
      tensors.push_back({layer + "ffn_gate.weight", DType::kF32, MakeShape(64, 96)});
      tensors.push_back({layer + "ffn_up.weight", DType::kF32, MakeShape(64, 96)});
      tensors.push_back({layer + "ffn_down.weight", DType::kF32, MakeShape(96, 64)});
    }
    formats::Metadata metadata = model::SmallModel("llama").metadata;
    metadata.SetF32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    auto writer = formats::gguf::Writer::Create(path, metadata, tensors).value();
    for (const auto& tensor : tensors) {
      ASSERT_TRUE(writer.Append(std::vector<std::byte>(tensor.shape.Elements() * 4)));
    }
    ASSERT_TRUE(writer.Finish());
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_pack_model_" + std::to_string(::getpid()));
  fs::path model_ = folder_ / "lab.gguf";
  fs::path packed_ = folder_ / "lab.gguf.plimsoll";
};

TEST_F(PackModelTest, LiesBesideTheModelAndIsMadeOnce) {
  const auto packed = PackModel({.model = model_});
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_EQ(packed->path, packed_);
  EXPECT_FALSE(packed->was_there);
  EXPECT_EQ(packed->n_experts, packed->outcome.n_matrices / 3);
  EXPECT_GT(packed->n_layers, 1U);
  const auto file = PackedFile::Open(packed_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->MatchesSource(formats::OpenModel(model_).value()));
  EXPECT_TRUE(PackModel({.model = model_})->was_there);
  EXPECT_TRUE(PackModel({.model = folder_})->was_there);  // a folder with one model
  EXPECT_FALSE(PackModel({.model = model_, .anew = true})->was_there);
  EXPECT_FALSE(PackModel({.model = model_, .output = folder_ / "other"})->was_there);
}

TEST_F(PackModelTest, WhatIsOfAnotherModelOrDamagedIsReplaced) {
  ASSERT_TRUE(PackModel({.model = model_}));
  fs::resize_file(packed_, fs::file_size(packed_) - 1);
  EXPECT_FALSE(PackModel({.model = model_})->was_there);
  fs::resize_file(model_, fs::file_size(model_) + 1);
  EXPECT_FALSE(PackedFile::Open(packed_)->MatchesSource(formats::OpenModel(model_).value()));
  EXPECT_FALSE(PackModel({.model = model_})->was_there);
  EXPECT_TRUE(PackedFile::Open(packed_)->MatchesSource(formats::OpenModel(model_).value()));
}

TEST_F(PackModelTest, LeavesOtherFilesAlone) {
  const auto over = PackModel({.model = model_, .output = model_});
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(over.error().message, HasSubstr("is there already and no packed file"));
  EXPECT_TRUE(formats::OpenModel(model_));
  const auto nowhere = PackModel({.model = model_, .output = "/nowhere/x"});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().kind, ErrorKind::kIo);
}

TEST_F(PackModelTest, AModelWithoutExpertsIsRefusedWithTheReason) {
  const fs::path dense = folder_ / "dense.gguf";
  WriteDenseModel(dense);
  const auto packed = PackModel({.model = dense});
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().kind, ErrorKind::kUsage) << packed.error().message;
  EXPECT_THAT(packed.error().message, HasSubstr("dense.gguf has no experts."));
  EXPECT_FALSE(fs::exists(formats::packed::PathBeside(dense)));
}

TEST_F(PackModelTest, APackedFileIsNoModel) {
  ASSERT_TRUE(PackModel({.model = model_}));
  EXPECT_THAT(PackModel({.model = packed_}).error().message, HasSubstr("name the model beside it"));
}

}  // namespace
}  // namespace plimsoll::engine
