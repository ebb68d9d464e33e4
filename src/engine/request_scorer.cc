#include "engine/request_scorer.h"

#include "engine/kv_eviction.h"
#include "engine/line_sharing.h"

namespace plimsoll::engine {

using memory::Account;

void KeepRoomForRequestScorer(EngineState& state) {
  if (state.model->KvLayout().is_recurrent()) {
    return;  // no request has a policy of its own
  }
  if (state.paging != nullptr || state.streaming != nullptr || state.request_scorer != nullptr) {
    return;
  }
  const auto room = RequestScorerRoom(*state.model, state.summary.n_ctx);
  const uint64_t taken = state.ledger->Snapshot().of(Account::kScratch).bytes;
  // Where it has none, who asks is refused.
  (void)state.ledger->SetLimits(Account::kScratch,
                                {.floor_bytes = taken + state.model->ScorerBytes(room)});
}

Result<> ProvideScorer(EngineState& state, const std::optional<kv::policy::Eviction>& eviction) {
  if (!eviction || !eviction->is_scored() || state.ScorerFor(*eviction) != nullptr) {
    return {};
  }
  const auto room = RequestScorerRoom(*state.model, state.summary.n_ctx);
  const uint64_t bytes = state.model->ScorerBytes(room);
  if (!MakeRoom(state, Account::kScratch, bytes)) {
    return Fail(ErrorKind::kDoesNotFit,
                "kv_policy looks at attention here, which takes {} of scratch memory, and the line "
                "has no room for that\nraise it with --memory, or shorten the context with -c",
                FormatBytes(bytes));
  }
  auto scorer = state.model->MakeScorer(*state.ledger, room);
  if (!scorer) {
    return Forward(scorer);
  }
  state.request_scorer = *std::move(scorer);
  return {};
}

}  // namespace plimsoll::engine
