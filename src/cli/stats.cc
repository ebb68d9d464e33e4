#include "cli/stats.h"

#include <chrono>

#include <fmt/format.h>

#include "base/bytes.h"
#include "engine/snapshot_json.h"

namespace plimsoll::cli {
namespace {

using engine::FinishReason;

std::string_view FinishReasonInWords(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEnd:
      return "ended by the model";
    case FinishReason::kStopString:
      return "ended at a stop string";
    case FinishReason::kLength:
      return "ended at the limit of -n";
    case FinishReason::kContextFull:
      return "ended because the context is full";
    case FinishReason::kInterrupted:
      return "interrupted";
  }
  return "ended";
}

double Rate(uint32_t n, double seconds) { return n == 0 || seconds <= 0 ? 0 : n / seconds; }

uint32_t PrefilledTokens(const engine::GenerateStats& stats) {
  return stats.n_prompt - std::min(stats.n_prompt_reused, stats.n_prompt);
}

double Share(uint64_t n, uint64_t of) {
  return of == 0 ? 0 : static_cast<double>(n) / static_cast<double>(of);
}

// Three significant digits.
std::string FormatRate(double rate) {
  const int decimals = rate >= 100 ? 0 : rate >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} tok/s", rate, decimals);
}

}  // namespace

double PrefillRate(const engine::GenerateStats& stats) {
  return Rate(PrefilledTokens(stats), stats.prefill_seconds);
}

double DecodeRate(const engine::GenerateStats& stats) {
  return Rate(stats.n_generated == 0 ? 0 : stats.n_generated - 1, stats.decode_seconds);
}

std::string DescribeStats(const engine::GenerateStats& stats) {
  const std::string kept =
      stats.n_prompt_reused == 0 ? "" : fmt::format(" ({} kept)", stats.n_prompt_reused);
  return fmt::format(
      "prefill {} tokens{} at {}, first token after {:.2f} s\n"
      "decode {} tokens at {}, {}\n",
      stats.n_prompt, kept, FormatRate(PrefillRate(stats)), stats.first_token_seconds,
      stats.n_generated, FormatRate(DecodeRate(stats)), FinishReasonInWords(stats.reason));
}

std::string DescribeMemory(const memory::LedgerSnapshot& ledger) {
  std::string line = fmt::format("memory {} of {}", FormatBytes(ledger.reserved_bytes),
                                 FormatBytes(ledger.budget_bytes));
  std::string_view separator = ": ";
  for (size_t i = 0; i < memory::kNAccounts; ++i) {
    if (ledger.accounts[i].bytes > 0) {
      line +=
          fmt::format("{}{} {}", separator, memory::AccountName(static_cast<memory::Account>(i)),
                      FormatBytes(ledger.accounts[i].bytes));
      separator = ", ";
    }
  }
  return line + "\n";
}

std::string DescribePaging(const std::optional<engine::PagingSnapshot>& paging,
                           const std::optional<engine::PagingSnapshot>& before,
                           const engine::GenerateStats& stats) {
  if (!paging) {
    return "";
  }
  memory::WantStats decode = paging->pager.of(memory::Phase::kDecode);
  if (before) {
    decode = decode.Since(before->pager.of(memory::Phase::kDecode));
  }
  std::string line = fmt::format("experts {} of {} in memory", paging->n_resident, paging->n_pages);
  if (decode.wanted > 0 && stats.n_generated > 1) {
    const double n_tokens = stats.n_generated - 1;
    const uint64_t bytes_read = decode.bytes_read + paging->pager.prefetched_bytes;
    line += fmt::format(
        "; decode found {:.1f} % there and read {} a token, waiting {:.0f} % of the time",
        100.0 * Share(decode.hits, decode.wanted),
        FormatBytes(static_cast<uint64_t>(static_cast<double>(bytes_read) / n_tokens)),
        100.0 * std::chrono::duration<double>(decode.waited).count() / stats.decode_seconds);
  }
  if (paging->pager.prefetched > 0) {
    line += fmt::format("; {} guesses read, {:.0f} % of them used", paging->pager.prefetched,
                        100.0 * Share(paging->pager.prefetched_used, paging->pager.prefetched));
  }
  return line + "\n";
}

std::string DescribeStreaming(const std::optional<engine::StreamingSnapshot>& streaming) {
  if (!streaming) {
    return "";
  }
  return fmt::format("dense weights {} of {} in memory; {} were read of the {} that were used\n",
                     FormatBytes(streaming->kept_bytes), FormatBytes(streaming->total_bytes),
                     FormatBytes(streaming->stream.bytes_read),
                     FormatBytes(streaming->stream.bytes_used));
}

void WriteStats(JsonText& json, const engine::GenerateStats& stats, const engine::Engine& engine) {
  json.Key("prompt_tokens").Number(stats.n_prompt);
  json.Key("prompt_tokens_reused").Number(stats.n_prompt_reused);
  json.Key("generated_tokens").Number(stats.n_generated);
  json.Key("prefill_seconds").Number(stats.prefill_seconds);
  json.Key("decode_seconds").Number(stats.decode_seconds);
  json.Key("prefill_tps").Number(PrefillRate(stats));
  json.Key("decode_tps").Number(DecodeRate(stats));
  json.Key("ttft_s").Number(stats.first_token_seconds);
  json.Key("memory");
  engine::WriteMemory(json, engine.ledger());
  json.Key("process");
  engine::WriteProcessMemory(json, engine.ledger());
  if (const auto paging = engine.paging()) {
    json.Key("paging");
    engine::WritePaging(json, *paging);
  }
  if (const auto streaming = engine.streaming()) {
    json.Key("streaming");
    engine::WriteStreaming(json, *streaming);
  }
}

}  // namespace plimsoll::cli
