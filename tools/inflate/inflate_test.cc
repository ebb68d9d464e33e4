#include "tools/inflate/inflate.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <system_error>

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include "formats/gguf/writer.h"
#include "tools/inflate/plan.h"

namespace plimsoll::inflate {
namespace {

using formats::Catalogue;
using tensor::DType;
using testing::HasSubstr;

// For this run alone, and gone with it.
const std::filesystem::path& Folder() {
  struct Temporary {
    std::filesystem::path path =
        std::filesystem::path(testing::TempDir()) / ("inflate_test_" + std::to_string(::getpid()));
    Temporary() { std::filesystem::create_directories(path); }
    ~Temporary() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
  };
  static const Temporary folder;
  return folder.path;
}

// A model of the architecture, without a tokenizer; every weight is 0.5.
struct TestModel {
  formats::Metadata metadata;
  std::vector<formats::gguf::TensorDeclaration> tensors;
  float weight = 0.5F;

  TestModel() {
    metadata.SetString("general.architecture", "qwen3moe");
    SetDimensions(dimensions, metadata);
    metadata.SetF32("qwen3moe.attention.layer_norm_rms_epsilon", 1e-6F);
    metadata.SetU32("qwen3moe.expert_count", 3);
    metadata.SetU32("qwen3moe.expert_used_count", 2);
    Add("token_embd.weight", {32, 5});
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      Add(layer + "attn_norm.weight", {32});
      Add(layer + "attn_q.weight", {32, 64});
      Add(layer + "attn_k.weight", {32, 32});
      Add(layer + "attn_v.weight", {32, 32});
      Add(layer + "attn_q_norm.weight", {32});
      Add(layer + "attn_k_norm.weight", {32});
      Add(layer + "attn_output.weight", {64, 32});
      Add(layer + "ffn_norm.weight", {32});
      Add(layer + "ffn_gate_inp.weight", {32, 3});
      Add(layer + "ffn_gate_exps.weight", {32, 32, 3});
      Add(layer + "ffn_up_exps.weight", {32, 32, 3});
      Add(layer + "ffn_down_exps.weight", {32, 32, 3});
    }
    Add("output_norm.weight", {32});
  }

  void Add(std::string name, std::vector<uint64_t> dims) {
    tensor::Shape shape;
    shape.n_dims = static_cast<uint32_t>(dims.size());
    std::ranges::copy(dims, shape.dims.begin());
    tensors.push_back({std::move(name), DType::kF32, shape});
  }

  [[nodiscard]] Catalogue Open() const {
    const auto path = Folder() / "small.gguf";
    auto writer = formats::gguf::Writer::Create(path, metadata, tensors);
    EXPECT_TRUE(writer) << writer.error().message;
    for (const auto& tensor : tensors) {
      const std::vector<float> values(tensor.shape.Elements(), weight);
      EXPECT_TRUE(writer->Append(std::as_bytes(std::span(values))));
    }
    EXPECT_TRUE(writer->Finish());
    auto catalogue = formats::OpenModel(path);
    EXPECT_TRUE(catalogue) << catalogue.error().message;
    return *std::move(catalogue);
  }

  Dimensions dimensions = {.n_layers = 2,
                           .hidden_dim = 32,
                           .n_heads = 2,
                           .n_kv_heads = 1,
                           .head_dim = 32,
                           .expert_ff_dim = 32};
};

constexpr Dimensions kInflated = {.n_layers = 5,
                                  .hidden_dim = 64,
                                  .n_heads = 4,
                                  .n_kv_heads = 2,
                                  .head_dim = 64,
                                  .expert_ff_dim = 96};

std::filesystem::path OutPath() { return Folder() / "wide.gguf"; }

Result<> Write(const Catalogue& small, const Target& target) {
  std::filesystem::remove(OutPath());
  return WriteInflated(small, target, OutPath(), [](const Progress&) {});
}

Error ErrorOf(const Catalogue& small, const Target& target) {
  const auto written = Write(small, target);
  EXPECT_FALSE(written);
  EXPECT_FALSE(std::filesystem::exists(OutPath()));
  return written ? Error{} : written.error();
}

std::string BytesOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Inflate, SameSourceAndTargetGiveTheSameBytes) {
  const Catalogue small = TestModel().Open();
  ASSERT_TRUE(Write(small, {kInflated, DType::kQ4_0}));
  const std::string first = BytesOf(OutPath());
  ASSERT_TRUE(Write(small, {kInflated, DType::kQ4_0}));
  EXPECT_EQ(first, BytesOf(OutPath()));
}

TEST(Inflate, MakesAModelOfTheShapeAndType) {
  const Catalogue small = TestModel().Open();
  uint64_t last_done = 0;
  const auto written =
      WriteInflated(small, {kInflated, DType::kQ4_0}, OutPath(), [&](const Progress& progress) {
        EXPECT_GE(progress.bytes_done, last_done);
        EXPECT_LE(progress.bytes_done, progress.bytes_total);
        last_done = progress.bytes_done;
      });
  ASSERT_TRUE(written) << written.error().message;
  const auto wide = formats::OpenModel(OutPath());
  ASSERT_TRUE(wide);
  EXPECT_EQ(last_done, wide->TotalBytes());
  const auto dimensions = ReadDimensions(wide->metadata);
  ASSERT_TRUE(dimensions) << dimensions.error().message;
  EXPECT_EQ(*dimensions, kInflated);
  EXPECT_EQ(*wide->metadata.U32("general.file_type"), 2U);
  EXPECT_EQ(wide->tensors().size(), 1 + 5 * 12 + 1);
  const auto* down = wide->Find("blk.4.ffn_down_exps.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->dtype, DType::kQ4_0);
  EXPECT_EQ(down->shape, tensor::MakeShape(96, 64, 3));
  EXPECT_EQ(wide->Find("blk.0.ffn_gate_inp.weight")->dtype, DType::kF32);
}

TEST(Inflate, ToTheSameShapeAndTypeChangesNothing) {
  const TestModel model;
  const Catalogue small = model.Open();
  ASSERT_TRUE(Write(small, {model.dimensions, DType::kF32}));
  const auto same = formats::OpenModel(OutPath());
  ASSERT_TRUE(same);
  for (const auto& entry : same->tensors()) {
    std::vector<float> values(entry.shape.Elements());
    ASSERT_TRUE(
        same->files[0]->ReadAt(entry.ranges[0].offset, std::as_writable_bytes(std::span(values))));
    EXPECT_THAT(values, testing::Each(0.5F)) << entry.name;
  }
}

TEST(Plan, AddedLayersFollowTheirSource) {
  // 5 of 2: 0 0 0 1 1, where the first of each is the trained one.
  const std::vector<std::pair<uint32_t, bool>> expected = {
      {0, false}, {0, true}, {0, true}, {1, false}, {1, true}};
  for (uint32_t i = 0; i < 5; ++i) {
    const LayerSource source = SourceOfLayer(i, 2, 5);
    EXPECT_EQ(std::pair(source.layer_idx, source.is_added), expected[i]) << i;
  }
}

TEST(Inflate, RefusesWhatIsNoWidening) {
  const Catalogue small = TestModel().Open();
  const auto error_of = [&](uint32_t Dimensions::*dimension, uint32_t value) {
    Dimensions dimensions = kInflated;
    dimensions.*dimension = value;
    const Error error = ErrorOf(small, {dimensions, DType::kQ4_0});
    EXPECT_EQ(error.kind, ErrorKind::kUsage);
    return error.message;
  };
  EXPECT_THAT(error_of(&Dimensions::hidden_dim, 48),
              HasSubstr("the hidden size 48 is no multiple"));
  EXPECT_THAT(error_of(&Dimensions::n_heads, 3), HasSubstr("the number of heads 3 is no multiple"));
  EXPECT_THAT(error_of(&Dimensions::n_kv_heads, 3), HasSubstr("4 heads are no multiple of 3"));
  EXPECT_THAT(error_of(&Dimensions::head_dim, 0), HasSubstr("the head size 0 is no multiple"));
  EXPECT_THAT(error_of(&Dimensions::n_layers, 1), HasSubstr("1 layers are fewer than"));
  EXPECT_THAT(error_of(&Dimensions::expert_ff_dim, 1 << 20), HasSubstr("is more than 32768"));
  EXPECT_THAT(ErrorOf(small, {kInflated, DType::kQ4_K}).message,
              HasSubstr("no whole blocks of Q4_K, which have 256"));
  EXPECT_THAT(ShapeNamed("gpt-5").error().message, HasSubstr("there are olmoe-1b-7b, qwen3"));
}

TEST(Inflate, RefusesModelsItDoesNotUnderstand) {
  const auto error_of = [](const TestModel& model) {
    const Error error = ErrorOf(model.Open(), {kInflated, DType::kQ4_0});
    EXPECT_EQ(error.kind, ErrorKind::kBadModel);
    return error.message;
  };
  TestModel model;
  model.metadata.SetString("general.architecture", "llama");
  EXPECT_THAT(error_of(model), HasSubstr("'llama'; only qwen3moe"));
  model = {};
  model.metadata.SetString("qwen3moe.rope.scaling.type", "yarn");
  EXPECT_THAT(error_of(model), HasSubstr("'qwen3moe.rope.scaling.type'"));
  model = {};
  model.metadata.SetU32("qwen3moe.attention.value_length", 64);
  EXPECT_THAT(error_of(model), HasSubstr("'qwen3moe.attention.value_length' is 64"));
  model = {};
  model.metadata.SetU32("qwen3moe.expert_count", 4);
  EXPECT_THAT(error_of(model), HasSubstr("'blk.0.ffn_gate_inp.weight' is [32, 3], not [32, 4"));
  model = {};
  model.Add("blk.0.attn_q.bias", {64});
  EXPECT_THAT(error_of(model), HasSubstr("'blk.0.attn_q.bias' is not one that can be widened"));
  model = {};
  model.tensors.pop_back();
  EXPECT_THAT(error_of(model), HasSubstr("no tensor 'output_norm.weight'"));
  model = {};
  model.weight = std::numeric_limits<float>::infinity();
  EXPECT_THAT(error_of(model),
              HasSubstr("'token_embd.weight', row 0, from column 0 on: value 0 is inf"));
}

TEST(Inflate, SaysHowMuchRoomIsMissing) {
  Dimensions huge = kInflated;
  huge.hidden_dim = huge.expert_ff_dim = kDimensionMax;
  huge.n_layers = 10000;
  const Error error = ErrorOf(TestModel().Open(), {huge, DType::kF32});
  EXPECT_EQ(error.kind, ErrorKind::kIo);
  EXPECT_THAT(error.message, testing::MatchesRegex(".* needs .* TiB, and .* has .* free"));
}

// Stands for a disk that fills up: writes beyond the limit fail.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit = {bytes, old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*old_handler_)(int);
  rlimit old_limit_ = {};
};

TEST(Inflate, LeavesNothingWhenADiskFillsUp) {
  const Catalogue small = TestModel().Open();
  const auto folder = Folder() / "full";
  std::filesystem::create_directory(folder);
  {
    const FileSizeLimit limit(100000);
    const auto written = WriteInflated(small, {kInflated, DType::kF32}, folder / "wide.gguf",
                                       [](const Progress&) {});
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().kind, ErrorKind::kIo);
    EXPECT_THAT(written.error().message, HasSubstr("at byte 100000"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  EXPECT_EQ(
      WriteInflated(small, {kInflated, DType::kF32}, "/nonexistent/wide.gguf", {}).error().kind,
      ErrorKind::kIo);
}

}  // namespace
}  // namespace plimsoll::inflate
