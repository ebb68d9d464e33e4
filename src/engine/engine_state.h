// What a loaded engine owns. In order: what stands later uses what stands before it.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "base/invariant.h"
#include "engine/engine.h"
#include "engine/expert_paging.h"
#include "engine/weight_streaming.h"
#include "formats/catalogue.h"
#include "formats/summary.h"
#include "io/traffic.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "kv/block_pool.h"
#include "kv/policy/policy_options.h"
#include "memory/ledger.h"
#include "memory/trace/recorder.h"
#include "model/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace plimsoll::engine {

struct EngineState {
  formats::Catalogue catalogue;
  formats::Summary contents;
  std::unique_ptr<const formats::packed::PackedFile> packed;  // null: there is none
  const kernels::KernelSet* kernels = nullptr;
  std::unique_ptr<kernels::Team> team;
  std::unique_ptr<memory::Ledger> ledger;
  std::unique_ptr<io::Traffic> traffic;
  std::unique_ptr<const text::Tokenizer> tokenizer;
  memory::Reservation tokenizer_memory;  // and that of constrained output
  Result<std::unique_ptr<const text::ChatTemplate>> chat_template;
  std::unique_ptr<memory::trace::Recorder> recorder;  // null: no trace
  std::unique_ptr<ExpertPaging> paging;               // null: all experts are resident
  std::unique_ptr<WeightStreaming> streaming;         // null: all dense weights are resident
  std::unique_ptr<model::Model> model;
  std::unique_ptr<kv::BlockPool> kv_pool;
  std::optional<kv::policy::Eviction> eviction;    // none: sequences keep everything
  std::unique_ptr<model::AttentionScorer> scorer;  // null: no policy needs one
  ModelSummary summary;
  KvDiskOptions kv_disk;
  std::function<void(std::string_view)> on_note;

  // As kv::policy::BlocksBeside.
  [[nodiscard]] uint32_t BlocksBeside(const std::optional<kv::policy::Eviction>& policy) const {
    return static_cast<uint32_t>(kv::policy::BlocksBeside(kv_pool->layout(), policy));
  }
  // The most that a sequence has, these included.
  [[nodiscard]] uint64_t BlocksOfSequence() const {
    const uint64_t n_whole = kv::BlockPool::BlocksFor(summary.n_ctx);
    const uint64_t n_kept = eviction ? std::min<uint64_t>(n_whole, eviction->budget()) : n_whole;
    return n_kept + BlocksBeside(eviction);
  }
  [[nodiscard]] bool CanScore(const kv::policy::Eviction& policy) const {
    return scorer != nullptr &&
           policy.scored_blocks() * kv::kBlockTokens <= scorer->room().max_slots &&
           (scorer->room().merges || policy.kind() != kv::policy::PolicyKind::kEpisode);
  }
  // Null where a policy needs none.
  [[nodiscard]] kv::policy::SlotScorer* ScorerFor(const kv::policy::Eviction& policy) const {
    return policy.is_scored() ? scorer.get() : nullptr;
  }
};

}  // namespace plimsoll::engine
