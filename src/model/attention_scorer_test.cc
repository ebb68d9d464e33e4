#include "model/attention_scorer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "kernels/half.h"
#include "kernels/kv_panels.h"

namespace plimsoll::model {
namespace {

using kv::kBlockTokens;
using tensor::KvType;

constexpr uint32_t kBlocks = 6;
constexpr uint32_t kSlots = kBlocks * kBlockTokens;

// Two layers: four query heads over two KV heads, of which the first layer has sinks, and three
// over one with a window.
HyperParams TwoLayers() {
  HyperParams hp;
  hp.n_layers = 2;
  hp.layers.resize(2);
  hp.layers[0] = {.n_heads = 4, .n_kv_heads = 2, .head_dim_k = 24, .head_dim_v = 16, .latent = {}};
  hp.layers[1] = {.n_heads = 3,
                  .n_kv_heads = 1,
                  .head_dim_k = 40,
                  .head_dim_v = 40,
                  .latent = {},
                  .window = 70};
  return hp;
}

kv::BlockLayout LayoutFor(const HyperParams& hp, KvType type) {
  std::vector<kv::BlockLayout::Layer> layers;
  for (const LayerParams& p : hp.layers) {
    layers.push_back({.n_kv_heads = p.n_kv_heads,
                      .head_dim_k = p.head_dim_k,
                      .head_dim_v = p.head_dim_v,
                      .type = type,
                      .n_heads = p.n_heads});
  }
  return kv::BlockLayout(std::move(layers));
}

// A sequence that is full, after a block behind the first one was dropped: keys and queries are
// random.
class AttentionScorerTest : public testing::TestWithParam<KvType> {
 protected:
  AttentionScorerTest()
      : hp_(TwoLayers()),
        layers_(2),
        team_(2),
        pool_(ledger_, LayoutFor(hp_, GetParam())),
        sequence_(pool_, 4096) {
    layers_[0].attention.sinks = sinks_;
    const uint64_t n_blocks = kBlocks + layout().n_open_blocks() + layout().n_query_blocks();
    EXPECT_TRUE(pool_.Promise(n_blocks));
    auto scorer = MakeScorer(*kernels::SelectKernelSet().value());
    scorer_ = std::move(scorer);
    sequence_.LimitTo({kv::policy::PolicyKind::kBlock, kBlocks}, scorer_.get());
    EXPECT_EQ(sequence_.Append(kSlots, 0), kv::AppendOutcome::kAppended);
    Fill();
    EXPECT_EQ(sequence_.Append(kBlockTokens, kSlots), kv::AppendOutcome::kAppended);
    EXPECT_EQ(sequence_.n_dropped(), kBlockTokens);
    Fill();
  }

  [[nodiscard]] const kv::BlockLayout& layout() const { return pool_.layout(); }
  std::unique_ptr<AttentionScorer> MakeScorer(const kernels::KernelSet& kernels) {
    auto scorer = AttentionScorer::Create(
        {.hp = hp_, .layers = layers_, .kernels = kernels, .team = team_, .quantizes = true},
        {.max_slots = kSlots}, ledger_);
    EXPECT_TRUE(scorer);
    return std::move(*scorer);
  }

  std::vector<uint16_t> RandomRows(size_t n, float scale) {
    std::vector<uint16_t> rows(n);
    for (uint16_t& x : rows) {
      const uint32_t bits = Philox(7, n_drawn_++, 0)[0];
      x = kernels::FloatToF16(static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31F * scale);
    }
    return rows;
  }

  void Fill() {
    for (uint32_t i = 0; i < hp_.n_layers; ++i) {
      const LayerParams& p = hp_.layers[i];
      for (uint32_t head = 0; head < p.n_kv_heads; ++head) {
        for (uint32_t b = 0; b < kBlocks; ++b) {
          const auto rows = RandomRows(size_t{kBlockTokens} * p.head_dim_k, 2);
          std::byte* at = sequence_.MutableBlock(b * kBlockTokens) + layout().k_offset(i, head);
          if (layout().is_quantized(i)) {
            kernels::QuantizePanel(layout().k_panel(i), rows.data(), at);
          } else {
            std::memcpy(at, rows.data(), rows.size() * sizeof(uint16_t));
          }
        }
      }
      for (uint32_t head = 0; head < p.n_heads; ++head) {
        const auto rows = RandomRows(size_t{kBlockTokens} * p.head_dim_k, 3);
        std::memcpy(sequence_.Queries(i, head), rows.data(), rows.size() * sizeof(uint16_t));
      }
    }
  }

  [[nodiscard]] double Key(uint32_t layer, uint32_t head, uint32_t slot, uint32_t d) const {
    const std::byte* at =
        sequence_.block_table()[slot / kBlockTokens] + layout().k_offset(layer, head);
    const uint32_t row = slot % kBlockTokens;
    if (layout().is_quantized(layer)) {
      return kernels::PanelElement(layout().k_panel(layer), at, row, d);
    }
    uint16_t bits = 0;
    std::memcpy(&bits, at + row * layout().k_stride(layer) + d * sizeof(bits), sizeof(bits));
    return GetParam() == KvType::kBF16 ? kernels::BF16ToFloat(bits) : kernels::F16ToFloat(bits);
  }

  // A query head's weights of each query, plainly.
  [[nodiscard]] std::vector<std::vector<double>> Rows(uint32_t layer, uint32_t head) const {
    const LayerParams& p = hp_.layers[layer];
    const auto positions = sequence_.positions();
    const auto* queries = reinterpret_cast<const uint16_t*>(sequence_.Queries(layer, head));
    std::vector<std::vector<double>> rows;
    for (uint32_t t = 0; t < kBlockTokens; ++t) {
      const uint32_t own = kSlots - kBlockTokens + t;
      std::vector<double> e(kSlots);
      double sum = layer == 0 ? std::exp(sinks_[head]) : 0;
      for (uint32_t s = 0; s <= own; ++s) {
        if (p.window > 0 && positions[s] + p.window <= positions[own]) {
          continue;
        }
        double dot = 0;
        for (uint32_t d = 0; d < p.head_dim_k; ++d) {
          dot += kernels::F16ToFloat(queries[t * p.head_dim_k + d]) *
                 Key(layer, head / (p.n_heads / p.n_kv_heads), s, d);
        }
        e[s] = std::exp(dot / std::sqrt(static_cast<double>(p.head_dim_k)));
        sum += e[s];
      }
      for (double& weight : e) {
        weight /= sum;
      }
      rows.push_back(std::move(e));
    }
    return rows;
  }
  // Summed over the queries.
  [[nodiscard]] std::vector<double> Weights(uint32_t layer, uint32_t head) const {
    std::vector<double> weights(kSlots);
    for (const auto& row : Rows(layer, head)) {
      for (uint32_t s = 0; s < kSlots; ++s) {
        weights[s] += row[s];
      }
    }
    return weights;
  }

  // ARKV's scores of a KV head, plainly, and what its query heads add to the layer's spread.
  [[nodiscard]] std::vector<double> SpreadScores(uint32_t layer, uint32_t kv_head,
                                                 AttentionSpread& spread) const {
    const LayerParams& p = hp_.layers[layer];
    const uint32_t group = p.n_heads / p.n_kv_heads;
    std::vector<double> heavy(kSlots);
    for (uint32_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const auto rows = Rows(layer, head);
      for (uint32_t s = 0; s < kSlots; ++s) {
        double mean = 0;
        for (const auto& row : rows) {
          mean += row[s] / kBlockTokens;
        }
        double m2 = 0;
        double m4 = 0;
        for (const auto& row : rows) {
          m2 += std::pow(row[s] - mean, 2) / kBlockTokens;
          m4 += std::pow(row[s] - mean, 4) / kBlockTokens;
        }
        heavy[s] += (mean + 263.8 * m2) / group;
        if (s >= kSlots - kBlockTokens) {
          continue;
        }
        for (const auto& row : rows) {
          spread.entropy -= row[s] * std::log(row[s] + 1e-10);
        }
        spread.variance += m2;
        spread.kurtosis += m2 > 0 ? m4 / (m2 * m2) : 0;
      }
    }
    std::vector<double> pooled(kSlots);
    const auto positions = sequence_.positions();
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      double n = 0;
      for (uint32_t s = slot < 2 ? 0 : slot - 2; s <= std::min(slot + 2, kSlots - 1); ++s) {
        if (positions[s] + slot == positions[slot] + s) {
          pooled[slot] += heavy[s];
          ++n;
        }
      }
      pooled[slot] /= n;
    }
    return pooled;
  }

  [[nodiscard]] double ExpectedScore(uint32_t layer, uint32_t kv_head, uint32_t slot) const {
    const LayerParams& p = hp_.layers[layer];
    const uint32_t group = p.n_heads / p.n_kv_heads;
    double largest = 0;
    for (uint32_t s = slot < 3 ? 0 : slot - 3; s <= std::min(slot + 3, kSlots - 1); ++s) {
      const auto positions = sequence_.positions();
      const uint32_t apart =
          s < slot ? positions[slot] - positions[s] : positions[s] - positions[slot];
      if (apart != (s < slot ? slot - s : s - slot)) {
        continue;  // something between them is gone
      }
      double mean = 0;
      for (uint32_t i = 0; i < group; ++i) {
        mean += weights_[layer][kv_head * group + i][s] / group;
      }
      largest = std::max(largest, mean);
    }
    return largest;
  }

  // Relative, of a weight. Over quantized keys queries have fifteen bits (docs/numerics.md), by
  // which a score of this size is off by up to some 2e-4.
  static double Tolerance() { return IsQuantized(GetParam()) ? 3e-4 : 1e-4; }

  HyperParams hp_;
  std::vector<float> sinks_ = {0.5F, -1.0F, 2.0F, 0.0F};
  std::vector<LayerWeights> layers_;
  kernels::Team team_;
  memory::Ledger ledger_{4 * kMiB};
  kv::BlockPool pool_;
  std::unique_ptr<AttentionScorer> scorer_;
  kv::KvSequence sequence_;
  uint64_t n_drawn_ = 0;
  std::vector<std::vector<double>> weights_[2];
};

TEST_P(AttentionScorerTest, ScoresAreThoseOfAPlainComputation) {
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (uint32_t head = 0; head < hp_.layers[layer].n_heads; ++head) {
      weights_[layer].push_back(Weights(layer, head));
    }
  }
  uint32_t n_layers = 0;
  scorer_->Score(sequence_, [&](size_t layer, std::span<const float> scores) {
    ASSERT_EQ(layer, n_layers++);
    const uint32_t n_kv_heads = hp_.layers[layer].n_kv_heads;
    ASSERT_EQ(scores.size(), size_t{n_kv_heads} * kSlots);
    for (uint32_t i = 0; i < scores.size(); ++i) {
      const double expected = ExpectedScore(static_cast<uint32_t>(layer), i / kSlots, i % kSlots);
      ASSERT_NEAR(scores[i], expected, Tolerance() * (expected + 0.01)) << layer << " " << i;
    }
  });
  EXPECT_EQ(n_layers, 2U);
}

TEST_P(AttentionScorerTest, SpreadsAreThoseOfAPlainComputation) {
  scorer_->ScoreAndWeigh(sequence_, [&](size_t layer, std::span<const float> scores, float weight) {
    AttentionSpread spread;
    const auto layer_idx = static_cast<uint32_t>(layer);
    for (uint32_t kv_head = 0; kv_head < hp_.layers[layer].n_kv_heads; ++kv_head) {
      const auto expected = SpreadScores(layer_idx, kv_head, spread);
      for (uint32_t s = 0; s < kSlots; ++s) {
        ASSERT_NEAR(scores[kv_head * kSlots + s], expected[s], Tolerance() * (expected[s] + 0.01))
            << layer << " " << s;
      }
    }
    EXPECT_NEAR(weight, spread.Weight(), 1e-3 * spread.Weight());
    EXPECT_GT(weight, 0.0F);
  });
}

TEST_P(AttentionScorerTest, EverySetGivesTheSameBits) {
  const auto all = [&](kv::policy::SlotScorer& scorer) {
    std::vector<float> scores;
    scorer.ScoreAndWeigh(sequence_,
                         [&](size_t /*layer*/, std::span<const float> of_layer, float weight) {
                           scores.insert(scores.end(), of_layer.begin(), of_layer.end());
                           scores.push_back(weight);
                         });
    scorer.Score(sequence_, [&](size_t /*layer*/, std::span<const float> of_layer) {
      scores.insert(scores.end(), of_layer.begin(), of_layer.end());
    });
    return scores;
  };
  const auto expected = all(*scorer_);
  for (const kernels::KernelSet* set : kernels::AllKernelSets()) {
    if (set->supported()) {
      EXPECT_EQ(all(*MakeScorer(*set)), expected) << set->name;
    }
  }
}

TEST_P(AttentionScorerTest, ItsScratchIsCharged) {
  const uint64_t bytes = ledger_.Snapshot().of(memory::Account::kScratch).bytes;
  EXPECT_GE(bytes, AttentionScorer::Bytes({.hp = hp_,
                                           .layers = layers_,
                                           .kernels = *kernels::SelectKernelSet().value(),
                                           .team = team_},
                                          {.max_slots = kSlots}));
  memory::Ledger small(kKiB);
  const auto refused = AttentionScorer::Create(
      {.hp = hp_, .layers = layers_, .kernels = *kernels::SelectKernelSet().value(), .team = team_},
      {.max_slots = kSlots}, small);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
}

// What is quantized has the codes of its 16 bits, wherever these were; the others stay whole.
TEST(AttentionScorerOriginals, AreQuantizedWhereTheyAre) {
  const HyperParams hp = TwoLayers();
  const std::vector<LayerWeights> layers(2);
  kernels::Team team(2);
  for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
    memory::Ledger ledger(4 * kMiB);
    // Four times the layers, so that a block has room for one of them in 16 bits.
    std::vector<kv::BlockLayout::Layer> many;
    for (int i = 0; i < 4; ++i) {
      for (const LayerParams& p : hp.layers) {
        many.push_back({.n_kv_heads = p.n_kv_heads,
                        .head_dim_k = p.head_dim_k,
                        .head_dim_v = p.head_dim_v,
                        .type = type,
                        .n_heads = p.n_heads});
      }
    }
    kv::BlockPool pool(ledger, kv::BlockLayout(many));
    const kv::BlockLayout& layout = pool.layout();
    const auto scorer = AttentionScorer::Create({.hp = hp,
                                                 .layers = layers,
                                                 .kernels = *kernels::SelectKernelSet().value(),
                                                 .team = team,
                                                 .quantizes = true},
                                                {.max_slots = kSlots}, ledger)
                            .value();
    const kv::policy::Eviction eviction(kv::policy::PolicyKind::kArkv, kBlocks, {.n_originals = 3});
    ASSERT_TRUE(pool.Promise(kBlocks + layout.BlocksForOriginals(3) + layout.n_query_blocks()));
    kv::KvSequence sequence(pool, 4096);
    sequence.LimitTo(eviction, scorer.get());
    ASSERT_EQ(sequence.Append(3 * kBlockTokens, 0), kv::AppendOutcome::kAppended);
    uint64_t n_drawn = 0;
    const auto fill = [&](std::byte* at, uint32_t dim) {
      std::vector<uint16_t> rows(size_t{kBlockTokens} * dim);
      for (uint16_t& x : rows) {
        const auto bits = static_cast<int32_t>(Philox(9, n_drawn++, 0)[0]);
        x = kernels::FloatToF16(static_cast<float>(bits) * 0x1p-31F);
      }
      std::memcpy(at, rows.data(), rows.size() * sizeof(uint16_t));
      return rows;
    };
    std::vector<std::vector<uint16_t>> keys, values;
    const auto for_each = [&](const auto& f) {
      for (uint32_t layer = 0; layer < many.size(); ++layer) {
        for (uint32_t head = 0; head < many[layer].n_kv_heads; ++head) {
          for (uint32_t block = 0; block < 3; ++block) {
            f(layer, head, block);
          }
        }
      }
    };
    for_each([&](uint32_t layer, uint32_t head, uint32_t block) {
      keys.push_back(fill(sequence.OriginalKeys(layer, head, block), many[layer].head_dim_k));
      values.push_back(fill(sequence.OriginalValues(layer, head, block), many[layer].head_dim_v));
    });
    std::vector<kv::policy::LayerBlock> chosen;
    const auto is_chosen = [](uint32_t layer, uint32_t block) { return (layer + block) % 3 == 1; };
    for (uint32_t layer = 0; layer < many.size(); ++layer) {
      for (uint32_t block = 0; block < 3; ++block) {
        if (is_chosen(layer, block)) {
          chosen.push_back({.layer_idx = layer, .block = block});
        }
      }
    }
    scorer->Quantize(sequence, chosen);
    size_t i = 0;
    for_each([&](uint32_t layer, uint32_t head, uint32_t block) {
      const std::byte* data = sequence.block_table()[block];
      const auto expect = [&](const tensor::KvPanel& panel, const std::vector<uint16_t>& rows,
                              uint64_t offset, const std::byte* whole) {
        if (!is_chosen(layer, block)) {
          EXPECT_EQ(std::memcmp(whole, rows.data(), rows.size() * sizeof(uint16_t)), 0);
          return;
        }
        std::vector<std::byte> codes(panel.bytes());
        kernels::QuantizePanel(panel, rows.data(), codes.data());
        EXPECT_EQ(std::memcmp(data + offset, codes.data(), codes.size()), 0)
            << layer << " " << head << " " << block;
      };
      expect(layout.k_panel(layer), keys[i], layout.k_offset(layer, head),
             sequence.OriginalKeys(layer, head, block));
      expect(layout.v_panel(layer), values[i], layout.v_offset(layer, head),
             sequence.OriginalValues(layer, head, block));
      ++i;
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Types, AttentionScorerTest,
                         testing::Values(KvType::kF16, KvType::kBF16, KvType::kQ8, KvType::kQ4),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

}  // namespace
}  // namespace plimsoll::model
