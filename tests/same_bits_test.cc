// The promise of docs/numerics.md on whole models: kernels, threads, chunks, batches and the
// division of layers change no bit of the logits, in whatever type keys and values are kept.
#include <cctype>
#include <cstring>

#include "tests/loaded_model.h"

namespace plimsoll::tests {
namespace {

std::filesystem::path BundledModel() {
  return std::filesystem::path(PLIMSOLL_SOURCE_DIR) / "models" / "plimsoll-lab-q8_0.gguf";
}

std::vector<TokenId> SomeTokens(size_t n, uint32_t seed) {
  std::vector<TokenId> tokens;
  for (uint32_t i = 0; i < n; ++i) {
    seed = seed * 1664525 + 1013904223;
    tokens.push_back(static_cast<TokenId>((seed >> 8) % 2000));
  }
  return tokens;
}

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

constexpr size_t kTokens = 75;  // crosses KV blocks, ends inside one

class SameBitsTest : public testing::TestWithParam<kv::Precision> {
 protected:
  SameBitsTest() : tokens_(SomeTokens(kTokens, 1)) {
    expected_ =
        LoadedModel(BundledModel(), {.n_threads = 1, .kv = GetParam()}).AllLogits(tokens_, kTokens);
  }

  std::vector<TokenId> tokens_;
  std::vector<float> expected_;
};

TEST_P(SameBitsTest, OverKernels) {
  for (const kernels::KernelSet* set : kernels::AllKernelSets()) {
    if (set->supported()) {
      LoadedModel loaded(BundledModel(), {.kernels = std::string(set->name), .kv = GetParam()});
      EXPECT_TRUE(SameBits(loaded.AllLogits(tokens_, kTokens), expected_)) << set->name;
    }
  }
}

TEST_P(SameBitsTest, OverThreads) {
  for (const size_t n_threads : {1U, 2U, 3U}) {
    LoadedModel loaded(BundledModel(), {.n_threads = n_threads, .kv = GetParam()});
    EXPECT_TRUE(SameBits(loaded.AllLogits(tokens_, kTokens), expected_)) << n_threads;
  }
}

TEST_P(SameBitsTest, OverChunks) {
  LoadedModel loaded(BundledModel(), {.kv = GetParam()});
  for (const size_t chunk : {1U, 7U, 64U}) {
    EXPECT_TRUE(SameBits(loaded.AllLogits(tokens_, chunk), expected_)) << chunk;
  }
}

TEST_P(SameBitsTest, InABatchOfFour) {
  LoadedModel loaded(BundledModel(), {.kv = GetParam()});
  const size_t vocab = loaded.model().hyper_params().vocab_size;
  std::vector<std::unique_ptr<kv::KvSequence>> sequences;
  std::vector<std::vector<TokenId>> texts;
  for (uint32_t s = 0; s < 4; ++s) {
    sequences.push_back(std::make_unique<kv::KvSequence>(loaded.pool(), 128U));
    texts.push_back(s == 2 ? tokens_ : SomeTokens(kTokens, 100 + s));
  }
  // Prompts of different lengths and offsets beside one another, then single tokens of all four.
  std::vector<float> got;
  size_t done[4] = {0, 0, 0, 0};
  const size_t first_part[4] = {5, 40, 20, 33};
  while (got.size() < expected_.size()) {
    std::vector<model::ChunkToken> batch;
    std::vector<uint32_t> wanted;
    for (size_t s = 0; s < 4; ++s) {
      const size_t n = std::min(done[s] == 0 ? first_part[s] : size_t{1}, kTokens - done[s]);
      const auto chunk =
          LoadedModel::Append(*sequences[s], std::span(texts[s]).subspan(done[s], n));
      for (size_t i = 0; s == 2 && i < n; ++i) {
        wanted.push_back(static_cast<uint32_t>(batch.size() + i));
      }
      batch.insert(batch.end(), chunk.begin(), chunk.end());
      done[s] += n;
    }
    EXPECT_TRUE(loaded.model().Forward({.tokens = batch, .wanted_logits = wanted},
                                       [&](uint32_t /*token*/, std::span<float> logits) {
                                         got.insert(got.end(), logits.begin(), logits.end());
                                       }));
  }
  ASSERT_EQ(got.size(), kTokens * vocab);
  EXPECT_TRUE(SameBits(got, expected_));
}

TEST_P(SameBitsTest, WithTheLayersInTwoParts) {
  LoadedModel loaded(BundledModel(), {.kv = GetParam()});
  const model::HyperParams& hp = loaded.model().hyper_params();
  kv::KvSequence sequence(loaded.pool(), 128);
  const auto chunk = LoadedModel::Append(sequence, tokens_);
  std::vector<float> hidden(kTokens * hp.hidden_dim);
  EXPECT_TRUE(loaded.model().Forward(
      {.tokens = chunk, .layers = model::LayerRange{0, 3}, .hidden_out = hidden}, {}));
  std::vector<float> got;
  const uint32_t last = kTokens - 1;
  EXPECT_TRUE(loaded.model().Forward({.tokens = chunk,
                                      .layers = model::LayerRange{3, hp.n_layers},
                                      .hidden_in = hidden,
                                      .wanted_logits = {&last, 1}},
                                     [&](uint32_t /*token*/, std::span<float> logits) {
                                       got.assign(logits.begin(), logits.end());
                                     }));
  EXPECT_TRUE(SameBits(got, std::span(expected_).last(hp.vocab_size)));
}

TEST_P(SameBitsTest, AfterAForkAndARestore) {
  LoadedModel loaded(BundledModel(), {.kv = GetParam()});
  const size_t vocab = loaded.model().hyper_params().vocab_size;
  kv::KvSequence sequence(loaded.pool(), 128);
  const std::span<const TokenId> all = tokens_;
  (void)loaded.LastLogits(sequence, all.first(40));
  const auto snapshot = sequence.Snapshot();
  const auto fork_state = sequence.Fork();
  auto& fork = dynamic_cast<kv::KvSequence&>(*fork_state);
  (void)loaded.LastLogits(sequence, SomeTokens(20, 9));  // goes another way
  const auto by_fork = loaded.LastLogits(fork, all.subspan(40));
  sequence.Restore(*snapshot);
  const auto by_restore = loaded.LastLogits(sequence, all.subspan(40));
  EXPECT_TRUE(SameBits(by_fork, std::span<const float>(expected_).last(vocab)));
  EXPECT_TRUE(SameBits(by_restore, std::span<const float>(expected_).last(vocab)));
}

// It goes back to where it can go on, another way from there, back again, and to the end.
TEST_P(SameBitsTest, AfterTruncations) {
  LoadedModel loaded(BundledModel(), {.kv = GetParam()});
  const size_t vocab = loaded.model().hyper_params().vocab_size;
  kv::KvSequence sequence(loaded.pool(), 256);
  const std::span<const TokenId> all = tokens_;
  for (const uint32_t n : {0U, 74U, 66U, 64U, 50U, 32U, 20U}) {
    const uint32_t kept = sequence.Keepable(n);
    EXPECT_EQ(kept / kv::kBlockTokens, std::min(n, sequence.n_tokens()) / kv::kBlockTokens);
    sequence.Truncate(kept);
    (void)loaded.LastLogits(sequence, SomeTokens(37, 9 + n));
    sequence.Truncate(sequence.Keepable(kept));
    const auto got = loaded.LastLogits(sequence, all.subspan(sequence.n_tokens()));
    EXPECT_TRUE(SameBits(got, std::span<const float>(expected_).last(vocab))) << n;
  }
}

TEST_P(SameBitsTest, AMaskThatHidesNothingIsNoMask) {
  LoadedModel loaded(BundledModel(), {.kv = GetParam()});
  kv::KvSequence sequence(loaded.pool(), 128);
  auto chunk = LoadedModel::Append(sequence, tokens_);
  const std::vector<uint32_t> everything(4, ~0U);
  for (model::ChunkToken& token : chunk) {
    token.mask = everything.data();
  }
  const uint32_t last = kTokens - 1;
  std::vector<float> got;
  EXPECT_TRUE(loaded.model().Forward({.tokens = chunk, .wanted_logits = {&last, 1}},
                                     [&](uint32_t /*token*/, std::span<float> logits) {
                                       got.assign(logits.begin(), logits.end());
                                     }));
  EXPECT_TRUE(SameBits(got, std::span<const float>(expected_).last(got.size())));
}

using tensor::KvType;

std::string PrecisionName(const testing::TestParamInfo<kv::Precision>& precision) {
  std::string name = precision.param.Text();
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Precisions, SameBitsTest,
    testing::Values(kv::Precision{}, kv::Precision{.type = KvType::kBF16, .layers = {}},
                    kv::Precision{.type = KvType::kQ8, .layers = {}},
                    kv::Precision{.type = KvType::kQ4, .layers = {}, .rotate = true},
                    kv::Precision{.type = KvType::kQ4,
                                  .layers = {{0, 1, KvType::kF16}, {3, 3, KvType::kBF16}}}),
    PrecisionName);

}  // namespace
}  // namespace plimsoll::tests
