// What an engine is made of, its experts on a disk that fails when it is told to.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "engine/bundled_model.h"
#include "engine/engine_state.h"
#include "engine/expert_paging.h"
#include "engine/fit_model.h"
#include "io/faulty_backend.h"

namespace plimsoll::engine {

class FailingEngine {
 public:
  static constexpr uint32_t kContext = 512;
  static constexpr uint32_t kChunk = 64;

  explicit FailingEngine(const kv::policy::PolicyOptions& policy, uint32_t n_parallel = 1) {
    state_.catalogue = OpenCatalogue(std::nullopt).value();
    state_.contents = formats::Summarise(state_.catalogue);
    state_.kernels = kernels::SelectKernelSet("").value();
    state_.team = std::make_unique<kernels::Team>(1);
    state_.ledger = std::make_unique<memory::Ledger>(kGiB);
    state_.traffic = std::make_unique<io::Traffic>();
    state_.tokenizer = LoadTokenizer(std::nullopt).value();
    const bool is_arkv = policy.kind == kv::policy::PolicyKind::kArkv;
    const FitOptions options = {
        .n_ctx = kContext,
        .n_parallel = n_parallel,
        .prefill_chunk = kChunk,
        .kernels = state_.kernels,
        .kv = {.type = is_arkv ? tensor::KvType::kQ8 : tensor::KvType::kF16, .layers = {}},
        .kv_policy = policy};
    const MemoryPlan all =
        OpenToFit(state_.catalogue, *state_.team, options, 0, kGiB).value().division.parts;
    auto fitted = OpenToFit(state_.catalogue, *state_.team, options, 0,
                            all.total() - all.experts + all.experts / 5 + kMiB)
                      .value();
    EXPECT_EQ(fitted.division.residence, Residence::kPaged);
    state_.model = std::move(fitted.model);
    EXPECT_TRUE(state_.model->Load(
        *state_.ledger, [](uint64_t) {}, Residence::kPaged));
    const PagingOptions paging = {.wrap_backend = [this](std::unique_ptr<io::ReadBackend> inner) {
      auto disk = std::make_unique<io::FaultyBackend>(std::move(inner), io::FaultPlan());
      disk_ = disk.get();
      return disk;
    }};
    state_.paging = StartPaging(state_.catalogue, nullptr, *state_.model, fitted.division, paging,
                                *state_.ledger, *state_.team)
                        .value();
    state_.model->PageExperts(*state_.paging->experts);
    state_.kv_pool = std::make_unique<kv::BlockPool>(*state_.ledger, state_.model->KvLayout());
    state_.eviction = fitted.needs.eviction;
    if (const auto& room = fitted.needs.scorer_room; room.max_slots > 0) {
      state_.scorer = state_.model->MakeScorer(*state_.ledger, room).value();
    }
    state_.summary.n_ctx = kContext;
  }

  [[nodiscard]] EngineState& state() { return state_; }
  void Fail(const io::FaultPlan& how = {.error_every = 1}) { disk_->Change(how); }
  void Heal() { disk_->Change({}); }

 private:
  EngineState state_;
  io::FaultyBackend* disk_ = nullptr;
};

inline std::vector<TokenId> Tokens(size_t n, size_t seed = 0) {
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < n; ++i) {
    tokens.push_back(static_cast<TokenId>(100 + (i / 64 * 211 + i * i * 7 + seed) % 900));
  }
  return tokens;
}

}  // namespace plimsoll::engine
