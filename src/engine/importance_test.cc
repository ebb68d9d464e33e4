#include "engine/importance.h"

#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/importance_recorder.h"
#include "formats/gguf/reader.h"
#include "formats/gguf/writer.h"

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;
using tensor::DType;
using tensor::MakeShape;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ImportanceTest : public testing::Test {
 protected:
  ImportanceTest() {
    const auto queries = Add("blk.0.attn_q.weight", MakeShape(2, 5));
    const auto keys = Add("blk.0.attn_k.weight", MakeShape(2, 5));
    const auto up = Add("blk.0.ffn_up_exps.weight", MakeShape(2, 4, 3));
    const auto down = Add("blk.0.ffn_down_exps.weight", MakeShape(4, 2, 3));
    const auto output = Add("output.weight", MakeShape(2, 6));
    const auto entry = [&](size_t i) { return &model_.tensors()[i]; };
    inputs_ = {{.readers = {&q_, &k_}, .tensors = {entry(queries), entry(keys)}, .k = 2},
               {.readers = {&up_}, .tensors = {entry(up)}, .k = 2, .n_matrices = 3},
               {.readers = {&down_}, .tensors = {entry(down)}, .k = 4, .n_matrices = 3},
               {.readers = {&output_}, .tensors = {entry(output)}, .k = 2, .makes_logits = true}};
    recorder_ = ImportanceRecorder::Create(inputs_, ledger_).value();
  }
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  size_t Add(std::string name, tensor::Shape shape) {
    model_.Add({.name = std::move(name), .dtype = DType::kF32, .shape = shape, .ranges = {}});
    return model_.tensors().size() - 1;
  }
  // Two tokens, of which experts 0 and 2 see the second.
  void Record() {
    const std::vector<float> x = {1, -2, 3, 0};
    const std::vector<uint32_t> second = {1};
    const std::vector<float> half = {0.5F};
    recorder_->OnInput(k_, {.rows = x.data(), .k = 2, .stride = 2, .n = 2});
    for (const uint32_t expert : {0U, 2U}) {
      recorder_->OnInput(up_, {.matrix_idx = expert,
                               .rows = x.data(),
                               .k = 2,
                               .stride = 2,
                               .n = 1,
                               .row_idx = second.data(),
                               .factors = expert == 2 ? half.data() : nullptr});
    }
    recorder_->OnInput(other_, {.rows = x.data(), .k = 2, .stride = 2, .n = 2});
  }
  [[nodiscard]] Result<> Write() const {
    return recorder_->Write(path_, {.dataset = "text.txt", .n_chunks = 3, .chunk_tokens = 512});
  }
  // A file with these tensors, of one shape each, and numbers.
  struct Entry {
    std::string name;
    tensor::Shape shape;
    std::vector<float> values;
    DType dtype = DType::kF32;
  };
  void WriteFile(const std::vector<Entry>& entries) const {
    std::vector<formats::gguf::TensorDeclaration> tensors;
    for (const Entry& entry : entries) {
      tensors.push_back({entry.name, entry.dtype, entry.shape});
    }
    auto writer = formats::gguf::Writer::Create(path_, {}, tensors).value();
    for (const Entry& entry : entries) {
      const auto bytes = std::as_bytes(std::span(entry.values));
      ASSERT_TRUE(
          writer.Append(bytes.first(*tensor::BytesFor(entry.dtype, entry.shape.Elements()))));
    }
    ASSERT_TRUE(writer.Finish());
  }
  [[nodiscard]] std::vector<float> Of(const std::string& name) const {
    const auto matrix = ImportanceMatrix::Open(path_);
    return matrix->Of(*model_.Find(name)).value();
  }
  [[nodiscard]] std::string Refusal(const std::string& name) const {
    const auto refused = ImportanceMatrix::Open(path_)->Of(*model_.Find(name));
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::kBadModel);
    return refused.error().message;
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_importance_" + std::to_string(::getpid()));
  fs::path path_ = folder_ / "imatrix.gguf";
  formats::Catalogue model_;
  tensor::Matrix q_, k_, up_, down_, output_, other_;
  std::vector<model::MatrixInput> inputs_;
  memory::Ledger ledger_{kMiB};
  std::unique_ptr<ImportanceRecorder> recorder_;
};

TEST_F(ImportanceTest, IsTheMeanSquareOfWhatEnters) {
  Record();
  ASSERT_TRUE(Write());
  EXPECT_THAT(Of("blk.0.attn_q.weight"), ElementsAre(5, 2));
  EXPECT_THAT(Of("blk.0.attn_k.weight"), ElementsAre(5, 2));
  // Expert 1 was never reached: all its channels count alike.
  EXPECT_THAT(Of("blk.0.ffn_up_exps.weight"), ElementsAre(9, 0, 1, 1, 2.25, 0));
  EXPECT_THAT(Of("blk.0.ffn_down_exps.weight"), IsEmpty());
  EXPECT_THAT(Of("output.weight"), IsEmpty());
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

TEST_F(ImportanceTest, TheSumsAreReservedOrRefused) {
  EXPECT_GE(ledger_.Snapshot().of(memory::Account::kScratch).bytes, 8U * (2 + 3 * 2 + 3 * 4 + 2));
  memory::Ledger small(1);
  const auto refused = ImportanceRecorder::Create(inputs_, small);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_THAT(refused.error().message, HasSubstr("importance matrix"));
}

TEST_F(ImportanceTest, WhereItCannotGoIsSaidBefore) {
  const auto refusal = [&](const fs::path& output) {
    return CheckImportanceOutput(model_, inputs_, output);
  };
  EXPECT_TRUE(refusal(path_));
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_EQ(refusal(folder_ / "nowhere" / "x.gguf").error().kind, ErrorKind::kIo);
  std::ofstream(path_) << "a model";
  model_.files.push_back(io::File::Open(path_).value());
  EXPECT_THAT(refusal(path_).error().message, HasSubstr("is the model itself"));
}

// llama.cpp has one count, and one row, for the matrices of all heads.
TEST_F(ImportanceTest, OneCountForAllHeadsIsEachOnes) {
  const auto heads = Add("blk.0.attn_v_b.weight", MakeShape(2, 3, 2));
  WriteFile({{"blk.0.attn_v_b.weight.in_sum2", MakeShape(4, 1), {2, 4, 6, 8}},
             {"blk.0.attn_v_b.weight.counts", MakeShape(1, 1), {2}}});
  EXPECT_THAT(Of(model_.tensors()[heads].name), ElementsAre(1, 2, 3, 4));
}

TEST_F(ImportanceTest, GateAndUpOfOneStackReadWhatItReads) {
  Add("blk.0.ffn_gate_exps.weight", MakeShape(2, 4, 3));
  WriteFile({{"blk.0.ffn_gate_up_exps.weight.in_sum2", MakeShape(2, 3), {1, 2, 3, 4, 5, 6}},
             {"blk.0.ffn_gate_up_exps.weight.counts", MakeShape(1, 3), {1, 0, 2}}});
  EXPECT_THAT(Of("blk.0.ffn_gate_exps.weight"), ElementsAre(1, 2, 1, 1, 2.5, 3));
  EXPECT_THAT(Of("blk.0.ffn_up_exps.weight"), ElementsAre(1, 2, 1, 1, 2.5, 3));
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

TEST_F(ImportanceTest, WhatIsWrongIsRefusedByName) {
  const std::string sums = "blk.0.attn_q.weight.in_sum2";
  const std::string counts = "blk.0.attn_q.weight.counts";
  const auto refusal = [&](const std::vector<Entry>& entries) {
    WriteFile(entries);
    return Refusal("blk.0.attn_q.weight");
  };
  const Entry one = {counts, MakeShape(1, 1), {1}};
  EXPECT_THAT(refusal({{sums, MakeShape(2, 1), {1, -1}}, one}),
              HasSubstr("in_sum2' has -1 at place 1"));
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(refusal({{sums, MakeShape(2, 1), {kNan, 1}}, one}), HasSubstr("in_sum2' has nan"));
  EXPECT_THAT(refusal({{sums, MakeShape(2, 1), {1, kInfinity}}, one}),
              HasSubstr("in_sum2' has inf at place 1"));
  const Entry two = {sums, MakeShape(2, 1), {3, 3}};
  EXPECT_THAT(refusal({two, {counts, MakeShape(1, 1), {kNan}}}), HasSubstr("counts' has nan"));
  EXPECT_THAT(refusal({two, {counts, MakeShape(1, 1), {-1}}}), HasSubstr("counts' has -1"));
  EXPECT_THAT(refusal({two, {counts, MakeShape(1, 1), {1e-40F}}}),
              HasSubstr("counts' has 1e-40, by which"));
  EXPECT_THAT(refusal({two, {counts, MakeShape(1, 2), {1, 1}}}), HasSubstr("has 2 x 2 numbers"));
  EXPECT_THAT(refusal({{sums, MakeShape(3, 1), {1, 1, 1}}, one}), HasSubstr("has 3 x 1 numbers"));
  EXPECT_THAT(refusal({two}), HasSubstr("but no 'blk.0.attn_q.weight.counts'"));
  EXPECT_THAT(refusal({{sums, MakeShape(2, 1), {1}, DType::kF16}, one}),
              HasSubstr("in_sum2' is not F32"));
  WriteFile({two, one});
  const auto size = fs::file_size(path_);
  fs::resize_file(path_, size - 40);
  EXPECT_THAT(ImportanceMatrix::Open(path_).error().message, HasSubstr("blk.0.attn_q.weight"));
  fs::resize_file(path_, 60);
  EXPECT_FALSE(ImportanceMatrix::Open(path_));
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
