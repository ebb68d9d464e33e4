// A model under a line that it does not fit, whose disk fails as it is told to.
#pragma once

#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "engine/expert_paging.h"
#include "engine/fit_model.h"
#include "engine/patch_look.h"
#include "engine/weight_streaming.h"
#include "io/fake_disk.h"
#include "io/faulty_backend.h"
#include "tests/loaded_model.h"

namespace plimsoll::tests {

inline std::filesystem::path BundledModel() {
  return std::filesystem::path(PLIMSOLL_SOURCE_DIR) / "models" / "plimsoll-lab-q8_0.gguf";
}

inline std::vector<TokenId> SomeTokens(uint32_t which = 0) {
  std::vector<TokenId> tokens;
  for (uint32_t i = 0; i < 3; ++i) {
    tokens.push_back(static_cast<TokenId>(100 + 211 * which + 37 * i));
  }
  return tokens;
}

// What is read through the disk that fails.
enum class Failing { kExperts, kDense };

struct FailingDisk {
  Failing failing = Failing::kExperts;
  std::string io = "best";            // as engine::PagingOptions
  io::VirtualClock* clock = nullptr;  // not null: `fake` in its time instead of the system's disk
  io::FakeDiskOptions fake;
};

class FailingModel {
 public:
  explicit FailingModel(const io::FaultPlan& faults, const FailingDisk& disk = {})
      : team_(2), ledger_(kGiB) {
    catalogue_ = *formats::OpenModel(BundledModel());
    constexpr uint32_t kContext = 64;
    const engine::FitOptions options = {
        .n_ctx = kContext, .prefill_chunk = 32, .kernels = *kernels::SelectKernelSet("")};
    auto whole = engine::OpenToFit(catalogue_, team_, options, 0, kGiB);
    const engine::MemoryPlan& all = whole->division.parts;
    const uint64_t line = all.total() - all.experts + all.experts / 5 + kMiB;
    auto fitted = engine::OpenToFit(catalogue_, team_, options, 0, line);
    EXPECT_TRUE(fitted) << fitted.error().message;
    EXPECT_EQ(fitted->division.residence, engine::Residence::kPaged);
    model_ = std::move(fitted->model);
    const bool streams = disk.failing == Failing::kDense;
    EXPECT_TRUE(model_->Load(
        ledger_, [](uint64_t) {},
        streams ? model::Residence::kStreamed : model::Residence::kPaged));
    const engine::PagingOptions sound = {.io = disk.io};
    const engine::PagingOptions faulty = {
        .io = disk.io, .wrap_backend = [&](std::unique_ptr<io::ReadBackend> inner) {
          return Wrap(std::move(inner), faults, disk);
        }};
    auto paging = engine::StartPaging(catalogue_, nullptr, *model_, fitted->division,
                                      streams ? sound : faulty, ledger_, team_);
    EXPECT_TRUE(paging) << paging.error().message;
    paging_ = std::move(*paging);
    model_->PageExperts(*paging_->experts);
    if (streams) {
      fitted->division.stream = {.total_bytes = fitted->needs.stream.total_bytes(),
                                 .kept_bytes = fitted->needs.stream.total_bytes() / 3,
                                 .ring_bytes = fitted->needs.stream.ring_bytes};
      auto streaming =
          engine::StartStreaming(catalogue_, *model_, fitted->division, faulty, ledger_);
      EXPECT_TRUE(streaming) << streaming.error().message;
      streaming_ = std::move(*streaming);
      model_->StreamWeights(*streaming_->weights);
    }
    pool_ = std::make_unique<kv::BlockPool>(ledger_, model_->KvLayout());
    EXPECT_TRUE(pool_->Promise(kv::BlockPool::BlocksFor(kContext)));
  }

  // The last token's logits of a new sequence, its tokens one by one; each that is computed is
  // told.
  Result<std::vector<float>> Logits(std::span<const TokenId> tokens,
                                    const std::function<void()>& on_token = {}) {
    kv::KvSequence sequence(*pool_, static_cast<uint32_t>(tokens.size()));
    std::vector<float> logits;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto chunk = LoadedModel::Append(sequence, tokens.subspan(i, 1));
      const uint32_t wanted = 0;
      auto passed = model_->Forward(
          {.tokens = chunk, .wanted_logits = {&wanted, 1}},
          [&](uint32_t /*token*/, std::span<float> row) { logits.assign(row.begin(), row.end()); });
      if (!passed) {
        return tl::unexpected(passed.error());
      }
      if (on_token) {
        on_token();
      }
    }
    return logits;
  }

  // Those of a token behind three blocks, of which one goes as a patch prompt decides. If the disk
  // is to fail while that is computed, it is computed again when the disk is sound.
  std::vector<float> LogitsBehindALook(bool fails) {
    constexpr uint32_t kBudget = 3;
    EXPECT_TRUE(pool_->Promise(kBudget + pool_->layout().n_query_blocks() + 1));
    auto scorer =
        model_->MakeScorer(ledger_, {.max_slots = 4 * kv::kBlockTokens, .merges = true}).value();
    kv::KvSequence sequence(*pool_, 256);
    sequence.LimitTo({kv::policy::PolicyKind::kEpisode, kBudget}, scorer.get());
    std::vector<TokenId> tokens;
    for (int i = 0; i < 161; ++i) {
      tokens.push_back(100 + i * i % 700);
    }
    for (uint32_t i = 0; i < kBudget; ++i) {
      const auto chunk = LoadedModel::Append(
          sequence, std::span(tokens).subspan(i * kv::kBlockTokens, kv::kBlockTokens));
      EXPECT_TRUE(model_->Forward({.tokens = chunk}, {}));
    }
    const auto patch = std::span(tokens).subspan(96, 64);
    if (fails) {
      disk_->Change({.error_every = 1});
      const auto looked = engine::LookIfWanted(*model_, sequence, patch, 1);
      EXPECT_FALSE(looked);
      EXPECT_EQ(sequence.n_tokens(), 96U);
      EXPECT_EQ(sequence.blocks().size(), kBudget);
      EXPECT_TRUE(sequence.WantsLook(1));
      disk_->Change({});
    }
    EXPECT_TRUE(engine::LookIfWanted(*model_, sequence, patch, 1));
    EXPECT_FALSE(sequence.WantsLook(1));
    const auto chunk = LoadedModel::Append(sequence, std::span(tokens).last(1));
    const uint32_t wanted = 0;
    std::vector<float> logits;
    EXPECT_TRUE(model_->Forward(
        {.tokens = chunk, .wanted_logits = {&wanted, 1}},
        [&](uint32_t /*token*/, std::span<float> row) { logits.assign(row.begin(), row.end()); }));
    return logits;
  }

  [[nodiscard]] io::FaultyBackend& disk() { return *disk_; }
  // Of a FailingDisk with a clock.
  [[nodiscard]] io::FakeDisk& fake() { return *fake_; }
  [[nodiscard]] const memory::Pager& pager() const { return *paging_->pager; }

 private:
  std::unique_ptr<io::ReadBackend> Wrap(std::unique_ptr<io::ReadBackend> inner,
                                        const io::FaultPlan& faults, const FailingDisk& disk) {
    if (disk.clock != nullptr) {
      auto fake = std::make_unique<io::FakeDisk>(disk.fake, *disk.clock);
      fake_ = fake.get();
      inner = std::move(fake);
    }
    auto faulty = std::make_unique<io::FaultyBackend>(std::move(inner), faults);
    disk_ = faulty.get();
    return faulty;
  }

  kernels::Team team_;
  memory::Ledger ledger_;
  formats::Catalogue catalogue_;
  std::unique_ptr<engine::ExpertPaging> paging_;
  std::unique_ptr<engine::WeightStreaming> streaming_;  // null: dense weights are resident
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<kv::BlockPool> pool_;
  io::FaultyBackend* disk_ = nullptr;
  io::FakeDisk* fake_ = nullptr;
};

// A sequence, and the logits behind it that a sound disk gives.
struct KnownSequence {
  std::vector<TokenId> tokens;
  std::vector<float> logits;

  [[nodiscard]] bool HasLogits(const std::vector<float>& others) const {
    return others.size() == logits.size() &&
           std::memcmp(others.data(), logits.data(), logits.size() * sizeof(float)) == 0;
  }
};

// Three of them, computed one after another.
inline std::vector<KnownSequence> ThreeSequences(FailingModel& sound) {
  std::vector<KnownSequence> known;
  for (const uint32_t which : {0U, 1U, 2U}) {
    const std::vector<TokenId> tokens = SomeTokens(which);
    auto logits = sound.Logits(tokens);
    EXPECT_TRUE(logits) << logits.error().message;
    known.push_back({tokens, logits ? *std::move(logits) : std::vector<float>()});
  }
  return known;
}

inline void ExpectNamesTheModel(const Error& error) {
  EXPECT_EQ(error.kind, ErrorKind::kIo);
  EXPECT_NE(error.message.find("plimsoll-lab"), std::string::npos) << error.message;
}

}  // namespace plimsoll::tests
