// A model of a file in memory, for tests that drive forward passes themselves.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "engine/expert_paging.h"
#include "engine/fit_model.h"
#include "engine/weight_streaming.h"
#include "formats/catalogue.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "kv/kv_sequence.h"
#include "memory/ledger.h"
#include "model/model.h"
#include "tests/shared_folder.h"

namespace plimsoll::tests {

struct LoadOptions {
  std::string kernels;  // "": the fastest
  size_t n_threads = 2;
  uint32_t max_chunk = 512;
  uint32_t n_ctx = 1024;  // of all sequences together
  // Below 1 the experts are paged and this share of them has frames, or as many as a token needs.
  double expert_share = 1;
  // Below 1 dense weights are streamed, this share of them is kept, and experts are paged.
  double kept_share = 1;
  kv::Precision kv;
};

class LoadedModel {
 public:
  LoadedModel(const std::filesystem::path& file, const LoadOptions& options)
      : team_(options.n_threads), ledger_(4 * kGiB) {
    auto catalogue = formats::OpenModel(file);
    EXPECT_TRUE(catalogue) << catalogue.error().message;
    catalogue_ = std::move(*catalogue);
    const auto kernels = kernels::SelectKernelSet(options.kernels);
    EXPECT_TRUE(kernels) << kernels.error().message;
    auto model = model::Model::Open(
        catalogue_, team_, {.max_chunk = options.max_chunk, .kernels = *kernels, .kv = options.kv});
    EXPECT_TRUE(model) << model.error().message;
    model_ = std::move(*model);
    const auto needs = engine::LineNeedsOf(*model_, 0, options.n_ctx);
    EXPECT_TRUE(needs) << needs.error().message;
    const bool streamed = options.kept_share < 1;
    const bool paged = (streamed || options.expert_share < 1) && !needs->experts.empty();
    const auto loaded = model_->Load(
        ledger_, [](uint64_t) {},
        streamed ? model::Residence::kStreamed
        : paged  ? model::Residence::kPaged
                 : model::Residence::kAll);
    EXPECT_TRUE(loaded) << loaded.error().message;
    if (paged) {
      PageExperts(*needs, options.expert_share);
    }
    if (streamed) {
      StreamWeights(*needs, options.kept_share);
    }
    pool_ = std::make_unique<kv::BlockPool>(ledger_, model_->KvLayout());
    const auto promised = pool_->Promise(
        2 * kv::BlockPool::BlocksFor(options.n_ctx) +
        kSequences * (pool_->layout().n_open_blocks() + kv::BlocksOfStates(pool_->layout())));
    EXPECT_TRUE(promised) << promised.error().message;
  }

  [[nodiscard]] model::Model& model() { return *model_; }
  [[nodiscard]] kv::BlockPool& pool() { return *pool_; }

  // The chunk that appends `tokens` to `sequence`, with room made.
  [[nodiscard]] static std::vector<model::ChunkToken> Append(kv::KvSequence& sequence,
                                                             std::span<const TokenId> tokens) {
    std::vector<model::ChunkToken> chunk;
    const uint32_t first = sequence.n_tokens();
    EXPECT_EQ(sequence.Append(static_cast<uint32_t>(tokens.size()), first),
              kv::AppendOutcome::kAppended);
    for (uint32_t i = 0; i < tokens.size(); ++i) {
      chunk.push_back(
          {.token = tokens[i], .position = first + i, .slot = first + i, .sequence = &sequence});
    }
    return chunk;
  }

  // Of the tokens that follow, those that the next pass may compute.
  [[nodiscard]] static std::span<const TokenId> NextPass(const kv::KvSequence& sequence,
                                                         std::span<const TokenId> tokens,
                                                         size_t chunk_size) {
    const auto n = static_cast<uint32_t>(std::min(chunk_size, tokens.size()));
    return tokens.first(sequence.PassTokens(sequence.n_tokens(), n));
  }

  // Appends the tokens; the logits behind the last.
  [[nodiscard]] std::vector<float> LastLogits(kv::KvSequence& sequence,
                                              std::span<const TokenId> tokens) {
    std::vector<float> last_logits;
    while (!tokens.empty()) {
      const auto part = NextPass(sequence, tokens, tokens.size());
      const auto chunk = Append(sequence, part);
      const auto last = static_cast<uint32_t>(part.size() - 1);
      EXPECT_TRUE(model_->Forward({.tokens = chunk, .wanted_logits = {&last, 1}},
                                  [&](uint32_t /*token*/, std::span<float> logits) {
                                    last_logits.assign(logits.begin(), logits.end());
                                  }));
      tokens = tokens.subspan(part.size());
    }
    return last_logits;
  }

  // Logits of every token of a new sequence, computed in chunks of `chunk_size`: [tokens][vocab].
  [[nodiscard]] std::vector<float> AllLogits(std::span<const TokenId> tokens, size_t chunk_size) {
    std::vector<float> all;
    kv::KvSequence sequence(*pool_, static_cast<uint32_t>(tokens.size()));
    while (sequence.n_tokens() < tokens.size()) {
      const auto part = NextPass(sequence, tokens.subspan(sequence.n_tokens()), chunk_size);
      const auto chunk = Append(sequence, part);
      std::vector<uint32_t> wanted(part.size());
      for (uint32_t i = 0; i < wanted.size(); ++i) {
        wanted[i] = i;
      }
      EXPECT_TRUE(model_->Forward({.tokens = chunk, .wanted_logits = wanted},
                                  [&](uint32_t /*token*/, std::span<float> logits) {
                                    all.insert(all.end(), logits.begin(), logits.end());
                                  }));
    }
    return all;
  }

  [[nodiscard]] const engine::ExpertPaging* paging() const { return paging_.get(); }
  [[nodiscard]] const engine::WeightStreaming* streaming() const { return streaming_.get(); }

 private:
  static constexpr uint32_t kSequences = 8;  // at a time

  void PageExperts(const engine::LineNeeds& needs, double share) {
    engine::LineDivision division;
    division.parts.index = needs.index;
    division.parts.io = needs.io;
    division.experts.clear();
    for (const engine::ExpertClass& experts : needs.experts) {
      const auto n_frames =
          std::max(experts.n_active, static_cast<uint32_t>(share * experts.n_pages));
      division.experts.push_back(
          {experts.frame_bytes, experts.n_pages, n_frames, experts.n_active});
    }
    auto paging = engine::StartPaging(catalogue_, nullptr, *model_, division, {}, ledger_, team_);
    EXPECT_TRUE(paging) << paging.error().message;
    paging_ = std::move(*paging);
    model_->PageExperts(*paging_->experts);
  }

  void StreamWeights(const engine::LineNeeds& needs, double share) {
    engine::LineDivision division;
    division.stream.total_bytes = needs.stream.total_bytes();
    division.stream.kept_bytes =
        static_cast<uint64_t>(share * static_cast<double>(division.stream.total_bytes));
    division.stream.ring_bytes = needs.stream.ring_bytes;
    auto streaming = engine::StartStreaming(catalogue_, *model_, division, {}, ledger_);
    EXPECT_TRUE(streaming) << streaming.error().message;
    streaming_ = std::move(*streaming);
    model_->StreamWeights(*streaming_->weights);
  }

  kernels::Team team_;
  memory::Ledger ledger_;
  formats::Catalogue catalogue_;
  std::unique_ptr<engine::ExpertPaging> paging_;        // null: all are resident
  std::unique_ptr<engine::WeightStreaming> streaming_;  // the same
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<kv::BlockPool> pool_;
};

}  // namespace plimsoll::tests
