// Results as text: a table to read, or JSON, JSON lines or CSV with llama-bench's field names.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "bench/result.h"

namespace plimsoll::bench {

// Gives the text piece by piece, so that a result is out as soon as it is there. The pieces in
// order are one document, also when there is no row.
class Report {
 public:
  virtual ~Report() = default;
  [[nodiscard]] virtual std::string Begin() = 0;
  [[nodiscard]] virtual std::string Row(const Subject& subject, const TestResult& result) = 0;
  [[nodiscard]] virtual std::string End() = 0;
};

struct ReportOptions {
  std::string version;
  // Columns of the table that most runs need not: the rows are told apart by them.
  bool shows_chunk = false;
  bool shows_line = false;
  bool shows_paging = false;
};

// `format`: md, json, jsonl or csv; kUsage for another.
[[nodiscard]] Result<std::unique_ptr<Report>> MakeReport(std::string_view format,
                                                         const ReportOptions& options);

[[nodiscard]] std::unique_ptr<Report> MakeMarkdownReport(const ReportOptions& options);

}  // namespace plimsoll::bench
