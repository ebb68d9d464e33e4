#include "engine/importance.h"

#include <fstream>

#include <gmock/gmock.h>
#include <unistd.h>

#include "engine/importance_recorder.h"
#include "formats/gguf/reader.h"
#include "formats/gguf/writer.h"

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;
using model::MatrixInput;
using tensor::DType;
using tensor::MakeShape;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ImportanceTest : public testing::Test {
 protected:
  ImportanceTest() {
    Add("token_embd.weight", MakeShape(2, 5));
    Add("blk.0.attn_q.weight", MakeShape(2, 5));
    Add("blk.0.attn_k.weight", MakeShape(2, 5));
    Add("blk.0.ffn_up_exps.weight", MakeShape(2, 4, 3));
    Add("blk.0.ffn_down_exps.weight", MakeShape(4, 2, 3));
    Add("blk.1.attn_q.weight", MakeShape(2, 5));
  }
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void Add(std::string name, tensor::Shape shape) {
    model_.Add({.name = std::move(name), .dtype = DType::kF32, .shape = shape, .ranges = {}});
  }
  // Two tokens, of which experts 0 and 2 see the second.
  void Record() {
    const std::vector<float> x = {1, -2, 3, 0};
    const std::vector<uint32_t> second = {1};
    const std::vector<float> half = {0.5F};
    recorder_.OnInput({.rows = x.data(), .k = 2, .n = 2});
    for (const uint32_t expert : {0U, 2U}) {
      recorder_.OnInput({.input = MatrixInput::kFeedForward,
                         .expert = expert,
                         .rows = x.data(),
                         .k = 2,
                         .n = 1,
                         .row_idx = second.data(),
                         .factors = expert == 2 ? half.data() : nullptr});
    }
  }
  [[nodiscard]] Result<> Write() const {
    return recorder_.Write(path_, model_,
                           {.dataset = "text.txt", .n_chunks = 3, .chunk_tokens = 512});
  }
  [[nodiscard]] std::vector<float> Of(const std::string& name) const {
    const auto matrix = ImportanceMatrix::Open(path_);
    return matrix->Of(*model_.Find(name)).value();
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_importance_" + std::to_string(::getpid()));
  fs::path path_ = folder_ / "imatrix.gguf";
  formats::Catalogue model_;
  ImportanceRecorder recorder_;
};

TEST_F(ImportanceTest, IsTheMeanSquareOfWhatEnters) {
  Record();
  ASSERT_TRUE(Write());
  EXPECT_THAT(Of("blk.0.attn_q.weight"), ElementsAre(5, 2));
  EXPECT_THAT(Of("blk.0.attn_k.weight"), ElementsAre(5, 2));
  // Expert 1 was never reached: all its channels count alike.
  EXPECT_THAT(Of("blk.0.ffn_up_exps.weight"), ElementsAre(9, 0, 1, 1, 2.25, 0));
  EXPECT_THAT(Of("blk.0.ffn_down_exps.weight"), IsEmpty());
  EXPECT_THAT(Of("blk.1.attn_q.weight"), IsEmpty());
  EXPECT_THAT(Of("token_embd.weight"), IsEmpty());
}

TEST_F(ImportanceTest, FilesAreLlamaCpps) {
  Record();
  ASSERT_TRUE(Write());
  const auto file = formats::gguf::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata.String("general.type"), "imatrix");
  EXPECT_THAT(**file->metadata.Strings("imatrix.datasets"), ElementsAre("text.txt"));
  EXPECT_EQ(file->metadata.U32("imatrix.chunk_count"), 3U);
  EXPECT_EQ(file->metadata.U32("imatrix.chunk_size"), 512U);
  EXPECT_EQ(file->Find("blk.0.ffn_up_exps.weight.in_sum2")->shape, MakeShape(2, 3));
  EXPECT_EQ(file->Find("blk.0.ffn_up_exps.weight.counts")->shape, MakeShape(1, 3));
  EXPECT_EQ(file->Find("blk.0.attn_q.weight.counts")->shape, MakeShape(1, 1));
}

TEST_F(ImportanceTest, OfAnotherModelIsRefusedByName) {
  Record();
  ASSERT_TRUE(Write());
  const auto matrix = ImportanceMatrix::Open(path_);
  const auto refused = matrix->Of({.name = "blk.0.attn_q.weight",
                                   .dtype = DType::kF32,
                                   .shape = MakeShape(4, 5),
                                   .ranges = {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(refused.error().message, HasSubstr("'blk.0.attn_q.weight.in_sum2' has 2 x 1"));
}

TEST_F(ImportanceTest, NumbersThatAreNoneAreRefusedByName) {
  const std::vector<formats::gguf::TensorDeclaration> tensors = {
      {"blk.0.attn_q.weight.in_sum2", DType::kF32, MakeShape(2, 1)},
      {"blk.0.attn_q.weight.counts", DType::kF32, MakeShape(1, 1)}};
  auto writer = formats::gguf::Writer::Create(path_, {}, tensors).value();
  const std::vector<float> sums = {1, -1};
  const std::vector<float> counts = {1};
  ASSERT_TRUE(writer.Append(std::as_bytes(std::span(sums))));
  ASSERT_TRUE(writer.Append(std::as_bytes(std::span(counts))));
  ASSERT_TRUE(writer.Finish());
  const auto refused = ImportanceMatrix::Open(path_)->Of(*model_.Find("blk.0.attn_q.weight"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("in_sum2' has -1 at place 1"));
}

TEST_F(ImportanceTest, WhatIsNoneIsRefused) {
  EXPECT_FALSE(Write());  // nothing was seen
  EXPECT_FALSE(fs::exists(path_));
  std::ofstream(path_) << "no GGUF";
  EXPECT_FALSE(ImportanceMatrix::Open(path_));
  ASSERT_TRUE(formats::gguf::Writer::Create(path_, {}, {})->Finish());
  EXPECT_THAT(ImportanceMatrix::Open(path_).error().message, HasSubstr("no importance matrix"));
}

}  // namespace
}  // namespace plimsoll::engine
