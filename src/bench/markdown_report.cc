#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "base/bytes.h"
#include "bench/report.h"

namespace plimsoll::bench {
namespace {

struct Column {
  std::string_view name;
  int width;
  bool is_text;  // to the left
};

constexpr std::string_view kChunk = "chunk";
constexpr std::string_view kLine = "line";

// How experts that are paged fare; empty where all are in memory.
constexpr std::array<std::string_view, 7> kPagingColumns = {
    "hits", "read/token", "disk GB/s", "disk busy", "of bound", "x Belady", "plan t/s"};

constexpr std::array<Column, 19> kColumns = {{{"model", 26, true},
                                              {"size", 8, false},
                                              {"kernels", 7, true},
                                              {"threads", 7, false},
                                              {kChunk, 5, false},
                                              {kLine, 8, false},
                                              {"test", 16, false},
                                              {"t/s", 16, false},
                                              {"GB/s", 6, false},
                                              {"bandwidth", 9, false},
                                              {"arithmetic", 10, false},
                                              {"peak memory", 11, false},
                                              {kPagingColumns[0], 7, false},
                                              {kPagingColumns[1], 10, false},
                                              {kPagingColumns[2], 9, false},
                                              {kPagingColumns[3], 9, false},
                                              {kPagingColumns[4], 8, false},
                                              {kPagingColumns[5], 8, false},
                                              {kPagingColumns[6], 8, false}}};

// Counted in characters, not in bytes: "±" is one.
size_t WidthOf(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Cell(std::string_view text, const Column& column) {
  const auto width = static_cast<size_t>(column.width);
  const std::string space(width - std::min(width, WidthOf(text)), ' ');
  return column.is_text ? fmt::format(" {}{} |", text, space) : fmt::format(" {}{} |", space, text);
}

std::string Percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string Giga(double rate) { return fmt::format("{:.1f}", rate / 1e9); }

class MarkdownReport final : public Report {
 public:
  explicit MarkdownReport(const ReportOptions& options) : options_(options) {}

  [[nodiscard]] std::string Begin() override {
    std::string head = "|";
    std::string rule = "|";
    for (const Column& column : kColumns) {
      if (IsShown(column)) {
        head += Cell(column.name, column);
        rule += fmt::format(" {}{} |", std::string(static_cast<size_t>(column.width) - 1, '-'),
                            column.is_text ? '-' : ':');
      }
    }
    return head + "\n" + rule + "\n";
  }

  [[nodiscard]] std::string Row(const Subject& subject, const TestResult& result) override {
    NotePeak(subject);
    const Rates rates = RatesOf(subject, result);
    std::array<std::string, kColumns.size()> cells = {
        subject.model_type,
        FormatBytes(subject.model_bytes),
        subject.kernels,
        fmt::format("{}", subject.n_threads),
        fmt::format("{}", subject.prefill_chunk),
        FormatBytes(subject.line_bytes),
        result.test.Name(),
        fmt::format("{:.2f} ± {:.2f}", rates.tokens.mean, rates.tokens.stddev),
        Giga(rates.read_bytes),
        Percent(rates.bandwidth_share),
        Percent(rates.arithmetic_share),
        FormatBytes(result.peak_memory_bytes)};
    if (result.paging) {
      const PagingResult& paging = *result.paging;
      const bool is_known = paging.bound_seconds > 0;
      const std::array<std::string, kPagingColumns.size()> more = {
          paging.n_experts == 0 ? "-" : Percent(paging.hit_rate()),
          fmt::format("{:.3g} MB", paging.read_bytes_per_token() / 1e6),
          fmt::format("{:.2f}", paging.disk_rate() / 1e9),
          Percent(paging.disk_duty()),
          is_known ? Percent(paging.bound_share()) : "-",
          paging.belady_misses == 0 ? "-" : fmt::format("{:.2f}", paging.over_belady()),
          is_known
              ? fmt::format("{:.2f}", static_cast<double>(paging.n_tokens) / paging.plan_seconds)
              : "-"};
      std::ranges::copy(more, cells.end() - more.size());
      reasons_.push_back(fmt::format("{} with {}: {}\n", result.test.Name(),
                                     FormatBytes(subject.line_bytes), WhySlow(paging)));
    }
    std::string line = "|";
    for (size_t i = 0; i < cells.size(); ++i) {
      line += IsShown(kColumns[i]) ? Cell(cells[i], kColumns[i]) : "";
    }
    return line + "\n";
  }

  // Which peaks the shares are of.
  [[nodiscard]] std::string End() override {
    std::string text = "\n";
    for (const std::string& peak : peaks_) {
      text += peak;
    }
    for (const std::string& reason : reasons_) {
      text += reason;
    }
    return text + fmt::format("plimsoll {}\n", options_.version);
  }

 private:
  [[nodiscard]] bool IsShown(const Column& column) const {
    return (column.name != kChunk || options_.shows_chunk) &&
           (column.name != kLine || options_.shows_line) &&
           (options_.shows_paging ||
            std::ranges::find(kPagingColumns, column.name) == kPagingColumns.end());
  }

  void NotePeak(const Subject& subject) {
    const std::string whose = fmt::format("peak of {} with {} thread{}: ", subject.kernels,
                                          subject.n_threads, subject.n_threads == 1 ? "" : "s");
    const bool is_known = std::ranges::any_of(
        peaks_, [&](const std::string& peak) { return peak.starts_with(whose); });
    if (!is_known) {
      peaks_.push_back(fmt::format(
          "{}{} GB/s read; {} G multiply-adds/s of 8-bit integers, {} G of floats\n", whose,
          Giga(subject.peak.read_bytes), Giga(subject.peak.int8_dots), Giga(subject.peak.fmas)));
    }
  }

  ReportOptions options_;
  std::vector<std::string> peaks_;
  std::vector<std::string> reasons_;
};

}  // namespace

std::unique_ptr<Report> MakeMarkdownReport(const ReportOptions& options) {
  return std::make_unique<MarkdownReport>(options);
}

}  // namespace plimsoll::bench
