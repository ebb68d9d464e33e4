// Importance matrices of random models of every architecture: every matrix that a quantizer weighs
// by them has its entry, and the line changes no bit of them.
#include <algorithm>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/importance.h"
#include "engine/planner.h"
#include "engine/quantize_model.h"
#include "engine/quantize_plan.h"
#include "formats/gguf/reader.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

namespace fs = std::filesystem;
using formats::TensorEntry;
using random_model::ModelSpec;
using testing::HasSubstr;

constexpr uint32_t kChunk = 128;
constexpr uint32_t kChunks = 2;

struct Variant {
  std::string name;
  ModelSpec spec;
};

std::vector<Variant> Variants() {
  std::vector<Variant> variants;
  const auto add = [&](std::string name, std::string_view arch, const auto& change) {
    ModelSpec spec;
    EXPECT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.arch = arch;
    spec.type = tensor::DType::kF32;
    change(spec);
    std::ranges::replace(name, '-', '_');  // what test names may not have
    variants.push_back({std::move(name), spec});
  };
  for (const std::string_view arch : random_model::Architectures()) {
    add(std::string(arch), arch, [](ModelSpec&) {});
  }
  add("dense_llama", "llama", [](ModelSpec& s) { s.n_experts = 0; });
  add("tied", "qwen2", [](ModelSpec& s) { s.tied_output = true; });
  add("queries_made_directly", "deepseek2", [](ModelSpec& s) { s.q_rank = 0; });
  add("joined_keys_and_values", "deepseek2", [](ModelSpec& s) { s.joined_kv = true; });
  // More than one pass of tokens through the latent.
  add("many_latent_heads", "deepseek2", [](ModelSpec& s) { s.n_heads = 20; });
  add("inputs_of_layers", "gemma4", [](ModelSpec& s) {
    s.n_experts = 0;
    s.n_layers = 7;
    s.n_shared_kv_layers = 3;
    s.layer_input_dim = 64;
  });
  add("joined_experts_and_values_of_keys", "gemma4", [](ModelSpec& s) {
    s.joined_experts = true;
    s.values_of_keys = true;
  });
  add("delta_nets_alone", "qwen35moe", [](ModelSpec& s) { s.full_attention_interval = 3; });
  return variants;
}

std::string BytesOf(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class RecordedImportance : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    const auto written = random_model::WriteRandomModel(GetParam().spec, model_);
    ASSERT_TRUE(written) << written.error().message;
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] engine::EngineOptions Options(const fs::path& output) const {
    return {.model = model_,
            .n_ctx = kChunk,
            .n_threads = 2,
            .importance = engine::ImportanceOptions{.output = output, .with_logits = true}};
  }
  // As plimsoll eval imatrix.
  void Record(const engine::EngineOptions& options) const {
    auto engine = engine::Engine::Load(options, nullptr);
    ASSERT_TRUE(engine) << engine.error().message;
    auto session = (*engine)->NewSession();
    ASSERT_TRUE(session) << session.error().message;
    for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
      std::vector<TokenId> tokens;
      for (uint32_t i = 0; i < kChunk; ++i) {
        tokens.push_back(
            static_cast<TokenId>((chunk * kChunk + i) * 7919 % GetParam().spec.vocab_size));
      }
      (*session)->Truncate(0);
      ASSERT_TRUE((*session)->Append(tokens, [](uint32_t, std::span<const float>) {}));
    }
    const auto written = (*engine)->WriteImportance(
        {.dataset = "tokens", .n_chunks = kChunks, .chunk_tokens = kChunk});
    ASSERT_TRUE(written) << written.error().message;
  }
  // The tensor's entry, as it stands in the file.
  static std::vector<float> Entry(const formats::Catalogue& file, const std::string& name) {
    const TensorEntry* const entry = file.Find(name);
    if (entry == nullptr) {
      return {};
    }
    std::vector<float> values(entry->shape.Elements());
    const formats::FileRange& range = entry->ranges.front();
    EXPECT_TRUE(file.files[range.file_idx]->ReadAt(range.offset,
                                                   std::as_writable_bytes(std::span(values))));
    return values;
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_recorded_importance_" + std::to_string(::getpid()));
  fs::path model_ = folder_ / "model.gguf";
  fs::path output_ = folder_ / "imatrix.gguf";
};

// Of embeddings rows are looked up: nothing is multiplied with them.
bool IsLookedUp(const TensorEntry& tensor) { return tensor.name.ends_with("token_embd.weight"); }

TEST_P(RecordedImportance, EveryMatrixThatIsQuantizedHasItsEntry) {
  Record(Options(output_));
  const auto model = formats::OpenModel(model_).value();
  const auto types =
      engine::PlanQuantizedTypes(model, {.mix = engine::PureMix(tensor::DType::kQ4_0)}).value();
  const auto file = formats::gguf::Open(output_).value();
  const auto matrix = engine::ImportanceMatrix::Open(output_).value();
  size_t n_quantized = 0;
  for (size_t i = 0; i < types.size(); ++i) {
    const TensorEntry& tensor = model.tensors()[i];
    if (types[i] == tensor.dtype || IsLookedUp(tensor)) {
      continue;
    }
    ++n_quantized;
    const auto importance = matrix.Of(tensor);
    ASSERT_TRUE(importance) << importance.error().message;
    EXPECT_FALSE(importance->empty()) << tensor.name;
    EXPECT_GT(std::ranges::max(*importance), std::ranges::min(*importance)) << tensor.name;
    // Every token is read by one matrix, or one of each head, or by as many experts as it uses.
    double n_rows = 0;
    for (const float count : Entry(file, tensor.name + ".counts")) {
      n_rows += count;
    }
    const bool is_of_experts = tensor.name.find("_exps.") != std::string::npos;
    const double n_readers = is_of_experts             ? GetParam().spec.n_experts_active
                             : tensor.shape.n_dims < 3 ? 1
                                                       : static_cast<double>(tensor.shape.dims[2]);
    EXPECT_EQ(n_rows, n_readers * kChunks * kChunk) << tensor.name;
  }
  EXPECT_GE(n_quantized, 4 * GetParam().spec.n_layers);
}

// Chunks are shorter there, experts are read as they are needed, and so may the dense weights be.
TEST_P(RecordedImportance, TheLineChangesNoBit) {
  Record(Options(output_));
  engine::EngineOptions options = Options(folder_ / "other.gguf");
  auto planner = engine::Planner::Open(options);
  ASSERT_TRUE(planner) << planner.error().message;
  options.memory = SizeSpec{.bytes = (*planner)->landmarks().least};
  options.n_threads = 1;
  Record(options);
  EXPECT_EQ(BytesOf(folder_ / "other.gguf"), BytesOf(output_));
}

// The sums are a part of what the line has to hold.
TEST_P(RecordedImportance, TheSumsAreUnderTheLine) {
  engine::EngineOptions options = Options(output_);
  auto with = engine::Engine::Load(options, nullptr).value();
  options.importance.reset();
  auto without = engine::Engine::Load(options, nullptr).value();
  const auto scratch = [](const auto& engine) {
    return engine->ledger().of(memory::Account::kScratch).bytes;
  };
  uint64_t least = 0;  // eight bytes a channel
  const auto model = formats::OpenModel(model_).value();
  for (const TensorEntry& tensor : model.tensors()) {
    if (tensor.name.find("ffn_down") != std::string::npos && tensor.name.ends_with(".weight")) {
      least += 8 * tensor.shape.Elements() / tensor.shape.dims[1];
    }
  }
  EXPECT_GE(scratch(with), scratch(without) + least);

  // A line that would do without them is refused.
  const auto least_line = [](const engine::EngineOptions& of) {
    return engine::Planner::Open(of).value()->landmarks().least;
  };
  options.memory = SizeSpec{.bytes = least_line(options)};
  EXPECT_TRUE(engine::Engine::Load(options, nullptr));
  options.importance = Options(output_).importance;
  EXPECT_GE(least_line(options), options.memory->bytes + least);
  const auto refused = engine::Engine::Load(options, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_THAT(refused.error().message, HasSubstr("importance matrix"));
  EXPECT_FALSE(fs::exists(output_));
}

INSTANTIATE_TEST_SUITE_P(, RecordedImportance, testing::ValuesIn(Variants()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace plimsoll::tests
