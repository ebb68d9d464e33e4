// What a generation cost, in words and as JSON.
#pragma once

#include <string>
#include <string_view>

#include "base/json_text.h"
#include "engine/engine.h"
#include "memory/ledger.h"

namespace plimsoll::cli {

// Tokens per second; 0 when nothing was computed. Prefill counts the tokens that were not in the KV
// cache yet, decode those after the first.
[[nodiscard]] double PrefillRate(const engine::GenerateStats& stats);
[[nodiscard]] double DecodeRate(const engine::GenerateStats& stats);

// The closing lines:
//   prefill 23 tokens (12 kept) at 812 tok/s, first token after 0.03 s
//   decode 48 tokens at 61.2 tok/s, ended by the model
//   memory 41.2 MiB of 12.0 GiB: weights 10.1 MiB, kv 8.00 MiB, ...
[[nodiscard]] std::string DescribeStats(const engine::GenerateStats& stats);
[[nodiscard]] std::string DescribeMemory(const memory::LedgerSnapshot& ledger);
//   experts 161 of 1024 in memory: 87.1 % of decode's were there, 58.3 MiB a token read, ...
// Nothing when all are resident. `before` was taken when the generation began that `stats` is of.
[[nodiscard]] std::string DescribePaging(const std::optional<engine::PagingSnapshot>& paging,
                                         const std::optional<engine::PagingSnapshot>& before,
                                         const engine::GenerateStats& stats);
//   dense weights 77.0 MiB of 650 MiB in memory; 9.1 GiB were read of the 10.2 GiB that were used
// Nothing when all are resident.
[[nodiscard]] std::string DescribeStreaming(
    const std::optional<engine::StreamingSnapshot>& streaming);

// Members "prompt_tokens" ... "memory" of an object that is open, "paging" and
// "streaming" where there is any.
void WriteStats(JsonText& json, const engine::GenerateStats& stats, const engine::Engine& engine);

}  // namespace plimsoll::cli
