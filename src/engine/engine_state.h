// What a loaded engine owns. In order: what stands later uses what stands before it.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/invariant.h"
#include "engine/engine.h"
#include "engine/expert_paging.h"
#include "engine/importance_recorder.h"
#include "engine/weight_streaming.h"
#include "formats/catalogue.h"
#include "formats/summary.h"
#include "io/read_trouble.h"
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
  std::unique_ptr<io::ReadTrouble> read_trouble;
  std::unique_ptr<const text::Tokenizer> tokenizer;
  memory::Reservation tokenizer_memory;  // and that of constrained output
  // For answers that are held to a form, of which none is being computed: each has one.
  std::vector<memory::Reservation> answer_rooms;
  Result<std::unique_ptr<const text::ChatTemplate>> chat_template;
  std::unique_ptr<memory::trace::Recorder> recorder;  // null: no trace
  std::unique_ptr<ImportanceRecorder> importance;     // null: that is not recorded
  std::filesystem::path importance_output;
  std::unique_ptr<ExpertPaging> paging;        // null: all experts are resident
  std::unique_ptr<WeightStreaming> streaming;  // null: all dense weights are resident
  std::unique_ptr<model::Model> model;
  std::unique_ptr<kv::BlockPool> kv_pool;
  std::optional<kv::policy::Eviction> eviction;    // none: sequences keep everything
  std::unique_ptr<model::AttentionScorer> scorer;  // null: that needs none
  // Of requests under policies of their own; null: none has needed it yet (request_scorer.h).
  std::unique_ptr<model::AttentionScorer> request_scorer;
  ModelSummary summary;
  KvDiskOptions kv_disk;
  std::function<void(std::string_view)> on_note;

  // As kv::policy::BlocksBeside, and those of the states of recurrent layers.
  [[nodiscard]] uint32_t BlocksBeside(const std::optional<kv::policy::Eviction>& policy) const {
    const kv::BlockLayout& layout = kv_pool->layout();
    return static_cast<uint32_t>(kv::policy::BlocksBeside(layout, policy) +
                                 kv::BlocksOfStates(layout));
  }
  // The most that a sequence has, these included.
  [[nodiscard]] uint64_t BlocksOfSequence() const {
    const uint64_t n_whole = kv::BlockPool::BlocksFor(summary.n_ctx);
    const uint64_t n_kept = eviction ? std::min<uint64_t>(n_whole, eviction->budget()) : n_whole;
    return n_kept + BlocksBeside(eviction);
  }
  // Null where a policy needs none, and where none has room for it.
  [[nodiscard]] kv::policy::SlotScorer* ScorerFor(const kv::policy::Eviction& policy) const {
    const auto can_score = [&](const std::unique_ptr<model::AttentionScorer>& one) {
      return one != nullptr && policy.scored_blocks() * kv::kBlockTokens <= one->room().max_slots &&
             (one->room().merges || !policy.has_patch());
    };
    if (!policy.is_scored()) {
      return nullptr;
    }
    if (can_score(scorer)) {
      return scorer.get();
    }
    return can_score(request_scorer) ? request_scorer.get() : nullptr;
  }
};

}  // namespace plimsoll::engine
