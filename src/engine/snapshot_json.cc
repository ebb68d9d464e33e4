#include "engine/snapshot_json.h"

#include <chrono>

#include "engine/process_memory.h"

namespace plimsoll::engine {
namespace {

void WritePhase(JsonText& json, const memory::WantStats& stats) {
  json.BeginObject();
  json.Key("wanted").Number(stats.wanted);
  json.Key("hits").Number(stats.hits);
  json.Key("joined").Number(stats.joined);
  json.Key("misses").Number(stats.misses());
  json.Key("bytes_read").Number(stats.bytes_read);
  json.Key("waited_seconds").Number(std::chrono::duration<double>(stats.waited).count());
  json.EndObject();
}

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEnd:
      return "end";
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContextFull:
      return "context_full";
    case FinishReason::kInterrupted:
      return "interrupted";
  }
  return "end";
}

void WriteMemory(JsonText& json, const memory::LedgerSnapshot& ledger) {
  json.BeginObject();
  json.Key("budget_bytes").Number(ledger.budget_bytes);
  json.Key("reserved_bytes").Number(ledger.reserved_bytes);
  json.Key("high_water_bytes").Number(ledger.high_water_bytes);
  json.Key("accounts").BeginObject();
  for (size_t i = 0; i < memory::kNAccounts; ++i) {
    json.Key(memory::AccountName(static_cast<memory::Account>(i)));
    json.Number(ledger.accounts[i].bytes);
  }
  json.EndObject().EndObject();
}

void WriteKvDisk(JsonText& json, const KvDiskSnapshot& disk) {
  json.BeginObject();
  json.Key("blocks").Number(disk.n_blocks);
  json.Key("bytes").Number(disk.bytes);
  json.Key("max_bytes").Number(disk.max_bytes);
  json.Key("bytes_saved").Number(disk.bytes_saved);
  json.Key("bytes_restored").Number(disk.bytes_restored);
  json.Key("tokens_restored").Number(disk.tokens_restored);
  json.Key("blocks_evicted").Number(disk.blocks_evicted);
  json.Key("blocks_failed").Number(disk.blocks_failed);
  json.EndObject();
}

void WriteStreaming(JsonText& json, const StreamingSnapshot& streaming) {
  json.BeginObject();
  json.Key("total_bytes").Number(streaming.total_bytes);
  json.Key("kept_bytes").Number(streaming.kept_bytes);
  json.Key("bytes_used").Number(streaming.stream.bytes_used);
  json.Key("bytes_read").Number(streaming.stream.bytes_read);
  json.Key("seeks").Number(streaming.stream.seeks);
  json.Key("waited_seconds").Number(std::chrono::duration<double>(streaming.stream.waited).count());
  json.Key("disk_busy_seconds")
      .Number(std::chrono::duration<double>(streaming.reader.busy).count());
  json.EndObject();
}

void WritePaging(JsonText& json, const PagingSnapshot& paging) {
  json.BeginObject();
  json.Key("pages").Number(paging.n_pages);
  json.Key("frames").Number(paging.n_frames);
  json.Key("resident").Number(paging.n_resident);
  json.Key("prefill");
  WritePhase(json, paging.pager.of(memory::Phase::kPrefill));
  json.Key("decode");
  WritePhase(json, paging.pager.of(memory::Phase::kDecode));
  json.Key("evictions").Number(paging.pager.evictions);
  json.Key("prefetched").Number(paging.pager.prefetched);
  json.Key("prefetched_bytes").Number(paging.pager.prefetched_bytes);
  json.Key("prefetched_used").Number(paging.pager.prefetched_used);
  json.Key("prefetched_dropped").Number(paging.pager.prefetched_dropped);
  json.Key("guesses").Number(paging.guesses.judged);
  json.Key("guesses_right").Number(paging.guesses.right);
  json.Key("disk_busy_seconds").Number(std::chrono::duration<double>(paging.reader.busy).count());
  json.EndObject();
}

void WriteBound(JsonText& json, const DecodeCost& bound) {
  json.BeginObject();
  json.Key("decode_seconds_per_token").Number(bound.seconds());
  json.Key("dense_seconds").Number(bound.dense_seconds);
  json.Key("expert_seconds").Number(bound.expert_seconds);
  json.Key("waiting_seconds").Number(bound.waiting_seconds);
  json.Key("misses_per_token").Number(bound.misses);
  json.Key("bytes_read_per_token").Number(bound.read_bytes);
  json.EndObject();
}

void WriteProcessMemory(JsonText& json, const memory::LedgerSnapshot& ledger) {
  const ProcessMemory process = ReadProcessMemory();
  json.BeginObject();
  json.Key("resident_bytes").Number(process.resident_bytes);
  json.Key("anonymous_bytes").Number(process.anonymous_bytes);
  json.Key("beside_ledger_bytes").Number(process.beside_ledger_bytes(ledger));
  json.Key("heap_bytes").Number(process.heap_bytes);
  json.Key("page_table_bytes").Number(process.page_table_bytes);
  json.EndObject();
}

}  // namespace plimsoll::engine
