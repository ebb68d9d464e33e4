#include "engine/line_sharing.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/invariant.h"
#include "engine/group_limit.h"

namespace plimsoll::engine {
namespace {

// Dense weights first: each byte of them that is kept is one that no token has to read. `left` is
// what they and the experts may take together.
Result<> ShareLine(EngineState& state, uint64_t left) {
  const uint64_t least = state.paging == nullptr ? 0 : LeastBytes(state.paging->shares);
  uint64_t kept = 0;
  const auto resize_experts = [&]() -> Result<> {
    return state.paging == nullptr ? Result<>() : state.paging->Resize(left - kept);
  };
  if (state.streaming == nullptr) {
    return resize_experts();
  }
  memory::PageStream& stream = *state.streaming->stream;
  kept = std::min(state.streaming->total_bytes, left - least);
  // Whichever shrinks goes first: the other one grows into what it leaves.
  if (kept < stream.kept_bytes()) {
    auto keeps = stream.Keep(kept);
    return keeps ? resize_experts() : keeps;
  }
  auto resized = resize_experts();
  return resized ? stream.Keep(kept) : resized;
}

}  // namespace

Movable MovableOf(const EngineState& state) {
  const memory::LedgerSnapshot ledger = state.ledger->Snapshot();
  Movable movable;
  if (state.paging != nullptr) {
    movable.bytes += ledger.of(memory::Account::kExperts).bytes;
    movable.needed += LeastBytes(state.paging->shares);
  }
  if (state.streaming != nullptr) {
    movable.bytes += state.streaming->stream->kept_bytes();
  }
  movable.others = ledger.reserved_bytes + ledger.kept_bytes - movable.bytes;
  return movable;
}

Result<> MoveLine(EngineState& state, uint64_t line) {
  const Movable movable = MovableOf(state);
  if (line < movable.least_line()) {
    return Fail(ErrorKind::kDoesNotFit, "a line of {} is too low: {} cannot leave memory{}",
                FormatBytes(line), FormatBytes(movable.least_line()),
                movable.bytes == 0 ? "; start again with this line to page the weights" : "");
  }
  const bool rises = line > state.ledger->budget_bytes();
  if (rises) {
    if (auto allowed = CheckGroupAllows(line); !allowed) {
      return allowed;
    }
  }
  // A line that rises makes room first, one that falls when the room is empty.
  Invariant(!rises || state.ledger->SetBudget(line), "a higher line holds what the lower one did");
  if (auto shared = ShareLine(state, line - movable.others); !shared) {
    return shared;
  }
  Invariant(rises || state.ledger->SetBudget(line), "what was evicted is given back");
  return {};
}

Result<> MakeRoom(EngineState& state, memory::Account account, uint64_t bytes) {
  const uint64_t available = state.ledger->available_bytes(account);
  if (available >= bytes) {
    return {};
  }
  const uint64_t lacking = bytes - available;
  const Movable movable = MovableOf(state);
  if (movable.bytes - movable.needed < lacking) {
    return Fail(ErrorKind::kDoesNotFit, "the line of {} has no room for {} more",
                FormatBytes(state.ledger->budget_bytes()), FormatBytes(bytes));
  }
  return ShareLine(state, movable.bytes - lacking);
}

}  // namespace plimsoll::engine
