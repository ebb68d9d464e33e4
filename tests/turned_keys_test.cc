// Keys that are turned to another position, against keys that are computed there.
#include <cmath>
#include <cstring>
#include <string>

#include <unistd.h>

#include "kernels/half.h"
#include "tests/loaded_model.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

using random_model::ModelSpec;
using tensor::KvType;

constexpr uint32_t kTokens = 75;  // crosses blocks, ends inside one
constexpr uint32_t kDistance = 1000;

struct Case {
  std::string name;
  ModelSpec spec;
  KvType type = KvType::kF16;
};

std::vector<Case> Cases() {
  using random_model::RopeScaling;
  std::vector<Case> cases;
  const auto add = [&](std::string_view name, std::string_view arch, const auto& change) {
    ModelSpec spec;
    EXPECT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.arch = arch;
    spec.type = tensor::DType::kQ8_0;
    change(spec);
    cases.push_back({.name = std::string(name), .spec = spec});
  };
  const auto scaled = [](RopeScaling scaling) {
    return [scaling](ModelSpec& s) { s.rope_scaling = scaling; };
  };
  add("neighbours", "llama", [](ModelSpec&) {});
  add("halves", "qwen3", [](ModelSpec&) {});
  add("partial_rotary", "qwen3", [](ModelSpec& s) { s.rope_dims = s.head_dim / 2; });
  add("linear", "qwen3", scaled(RopeScaling::kLinear));
  add("ntk", "llama", scaled(RopeScaling::kNtk));
  add("yarn", "qwen3moe", scaled(RopeScaling::kYarn));
  add("llama3_factors", "llama", scaled(RopeScaling::kLlama3));
  add("sliding_window", "gpt-oss", [](ModelSpec&) {});
  add("many_pairs", "qwen2", [](ModelSpec& s) {
    s.head_dim = 192;
    s.n_layers = 1;
  });
  add("bases_by_window", "gemma3", [](ModelSpec& s) { s.n_layers = 6; });
  add("long_rope", "phi3", scaled(RopeScaling::kLongRope));
  add("no_positions", "llama4", [](ModelSpec& s) { s.n_layers = 4; });
  add("heads_of_two_widths", "gemma4", [](ModelSpec& s) {
    s.n_layers = 4;
    s.n_shared_kv_layers = 2;
    s.values_of_keys = true;
  });
  add("latent", "deepseek2", [](ModelSpec&) {});
  add("latent_yarn", "deepseek2", [](ModelSpec& s) {
    s.rope_scaling = RopeScaling::kYarn;
    s.rope_log_multiplier = 0.1F;
  });
  cases.push_back({.name = "bf16", .spec = cases[0].spec, .type = KvType::kBF16});
  return cases;
}

class TurnedKeys : public testing::TestWithParam<Case> {
 protected:
  TurnedKeys()
      : file_(std::filesystem::path(testing::TempDir()) /
              fmt::format("plimsoll_turned_{}_{}.gguf", GetParam().name, ::getpid())) {
    EXPECT_TRUE(random_model::WriteRandomModel(GetParam().spec, file_));
    loaded_ = Load({});
  }
  ~TurnedKeys() override { std::filesystem::remove(file_); }

  [[nodiscard]] std::unique_ptr<LoadedModel> Load(const std::string& kernels) const {
    return std::make_unique<LoadedModel>(
        file_,
        LoadOptions{
            .kernels = kernels, .n_ctx = 512, .kv = {.type = GetParam().type, .layers = {}}});
  }

  // The same tokens each time, from position `first` on.
  [[nodiscard]] std::unique_ptr<kv::KvSequence> Compute(LoadedModel& loaded, uint32_t first) const {
    auto sequence = std::make_unique<kv::KvSequence>(loaded.pool(), kTokens);
    EXPECT_EQ(sequence->Append(kTokens, first), kv::AppendOutcome::kAppended);
    std::vector<model::ChunkToken> chunk;
    for (uint32_t i = 0; i < kTokens; ++i) {
      chunk.push_back({.token = static_cast<TokenId>(i * 7919 % GetParam().spec.vocab_size),
                       .position = first + i,
                       .slot = i,
                       .sequence = sequence.get()});
    }
    EXPECT_TRUE(loaded.model().Forward({.tokens = chunk}, {}));
    return sequence;
  }

  [[nodiscard]] static std::vector<std::byte> Bytes(const kv::KvSequence& sequence) {
    std::vector<std::byte> bytes;
    for (const std::byte* block : sequence.block_table()) {
      bytes.insert(bytes.end(), block, block + sequence.layout().block_bytes());
    }
    return bytes;
  }

  // Expects that a layer's keys are those of `expected` but for so many roundings to 16 bits, each
  // of which moves a pair by at most its length times half a unit in the last place (and an element
  // that is next to nothing by a fixed step), and that what has no position is the same.
  void ExpectNear(const std::vector<std::byte>& got, const std::vector<std::byte>& expected,
                  uint32_t layer_idx, int n_roundings) const {
    const model::HyperParams& hp = loaded_->model().hyper_params();
    const kv::BlockLayout& layout = loaded_->pool().layout();
    const kv::BlockLayout::Layer& layer = layout.layer(layer_idx);
    const uint32_t n_before = hp.layers[layer_idx].latent.kv_rank;
    const uint32_t n_pairs = (hp.has_window_rope(layer_idx) ? *hp.window_rope : hp.rope).n_dims / 2;
    const double unit = GetParam().type == KvType::kF16 ? 0x1p-11 : 0x1p-8;
    const auto element = [&](const std::vector<std::byte>& bytes, uint64_t at) {
      uint16_t half = 0;
      std::memcpy(&half, bytes.data() + at, sizeof(half));
      return double{GetParam().type == KvType::kF16 ? kernels::F16ToFloat(half)
                                                    : kernels::BF16ToFloat(half)};
    };
    for (uint32_t slot = 0; slot < kTokens; ++slot) {
      for (uint32_t head = 0; head < layer.n_kv_heads; ++head) {
        const uint64_t key = slot / kv::kBlockTokens * layout.block_bytes() +
                             layout.k_offset(layer_idx, head) +
                             slot % kv::kBlockTokens * layout.k_stride(layer_idx);
        const uint64_t n_rotated_end = n_before + 2 * n_pairs;
        ASSERT_EQ(std::memcmp(&got[key], &expected[key], n_before * sizeof(uint16_t)), 0);
        for (uint64_t i = n_rotated_end; i < layer.head_dim_k; ++i) {
          ASSERT_EQ(element(got, key + 2 * i), element(expected, key + 2 * i));
        }
        for (uint32_t pair = 0; pair < n_pairs; ++pair) {
          const uint64_t a = key + 2 * (n_before + (hp.rope.neox ? pair : 2 * pair));
          const uint64_t b = a + 2 * (hp.rope.neox ? n_pairs : 1);
          const double x = element(expected, a);
          const double y = element(expected, b);
          const double moved = std::hypot(element(got, a) - x, element(got, b) - y);
          ASSERT_LE(moved, n_roundings * (1.02 * unit * std::hypot(x, y) + 0x1p-24))
              << "layer " << layer_idx << " slot " << slot << " pair " << pair;
        }
      }
    }
  }

  std::filesystem::path file_;
  std::unique_ptr<LoadedModel> loaded_;
};

// In layer 0 a key is made of its token alone. Both are rounded once as they are computed, and that
// which is turned once more.
TEST_P(TurnedKeys, AreThoseThatAreComputedThere) {
  const auto here = Compute(*loaded_, 3);
  const auto there = Compute(*loaded_, 3 + kDistance);
  const auto at_first = Bytes(*here);
  loaded_->model().TurnKeys({.sequence = *here, .first = 0, .end = kTokens, .distance = kDistance});
  ExpectNear(Bytes(*here), Bytes(*there), 0, 3);
  EXPECT_NE(Bytes(*here), at_first);
  const int64_t back = -int64_t{kDistance};
  loaded_->model().TurnKeys({.sequence = *there, .first = 0, .end = kTokens, .distance = back});
  ExpectNear(Bytes(*there), at_first, 0, 3);
}

TEST_P(TurnedKeys, AreWhatTheyWereWhenTurnedBack) {
  const auto sequence = Compute(*loaded_, 0);
  const auto at_first = Bytes(*sequence);
  for (const int64_t distance : {int64_t{kDistance}, -int64_t{kDistance}}) {
    loaded_->model().TurnKeys(
        {.sequence = *sequence, .first = 0, .end = kTokens, .distance = distance});
  }
  for (uint32_t i = 0; i < loaded_->model().hyper_params().n_layers; ++i) {
    ExpectNear(Bytes(*sequence), at_first, i, 2);
  }
}

TEST_P(TurnedKeys, HaveTheSameBitsFromEveryKernelSet) {
  std::vector<std::byte> expected;
  for (const kernels::KernelSet* set : kernels::AllKernelSets()) {
    if (!set->supported()) {
      continue;
    }
    const auto loaded = Load(std::string(set->name));
    const auto sequence = Compute(*loaded, 0);
    loaded->model().TurnKeys({.sequence = *sequence, .first = 5, .end = 70, .distance = -3});
    if (expected.empty()) {
      expected = Bytes(*sequence);
    }
    EXPECT_EQ(Bytes(*sequence), expected) << set->name;
  }
}

// Slots beside the range, and values, stay.
TEST_P(TurnedKeys, AreAloneInBeingTurned) {
  const auto sequence = Compute(*loaded_, 0);
  const auto before = Bytes(*sequence);
  loaded_->model().TurnKeys({.sequence = *sequence, .first = 40, .end = 70, .distance = 7});
  const auto after = Bytes(*sequence);
  const kv::BlockLayout& layout = loaded_->pool().layout();
  std::vector<bool> may_differ(before.size(), false);
  for (size_t layer = 0; layer < layout.n_layers(); ++layer) {
    for (uint32_t head = 0; head < layout.layer(layer).n_kv_heads; ++head) {
      for (uint32_t slot = 40; slot < 70; ++slot) {
        const uint64_t key = slot / kv::kBlockTokens * layout.block_bytes() +
                             layout.k_offset(layer, head) +
                             slot % kv::kBlockTokens * layout.k_stride(layer);
        std::fill_n(may_differ.begin() + static_cast<ptrdiff_t>(key), layout.k_stride(layer), true);
      }
    }
  }
  for (size_t i = 0; i < before.size(); ++i) {
    ASSERT_TRUE(before[i] == after[i] || may_differ[i]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, TurnedKeys, testing::ValuesIn(Cases()),
                         [](const auto& way) { return way.param.name; });

}  // namespace
}  // namespace plimsoll::tests
