// An engine's state as JSON: what --json prints and the server tells.
#pragma once

#include <string_view>

#include "base/json_text.h"
#include "engine/cost_model.h"
#include "engine/engine.h"
#include "engine/service.h"

namespace plimsoll::engine {

// "end", "stop", "length", "context_full", "interrupted"
[[nodiscard]] std::string_view FinishReasonName(FinishReason reason);

// Each writes one object.
void WriteMemory(JsonText& json, const memory::LedgerSnapshot& ledger);
void WriteKvDisk(JsonText& json, const KvDiskSnapshot& disk);
void WritePaging(JsonText& json, const PagingSnapshot& paging);
void WriteStreaming(JsonText& json, const StreamingSnapshot& streaming);
void WriteBound(JsonText& json, const DecodeCost& bound);
// What the process has in memory, beside what is reserved.
void WriteProcessMemory(JsonText& json, const memory::LedgerSnapshot& ledger);

}  // namespace plimsoll::engine
