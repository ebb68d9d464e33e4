#include "bench/report.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "base/json_text.h"

namespace plimsoll::bench {
namespace {

struct Field {
  std::string_view name;
  std::variant<std::string, uint64_t, double> value;
};

// llama-bench's fields with its meanings, and behind "stddev_ts" our own.
std::vector<Field> FieldsOf(std::string_view version, const Subject& subject,
                            const TestResult& result) {
  const Rates rates = RatesOf(subject, result);
  std::vector<Field> fields = {
      {"build_version", std::string(version)},
      {"cpu_info", subject.processor},
      {"backends", "CPU"},
      {"model_filename", subject.model_filename},
      {"model_type", subject.model_type},
      {"model_size", subject.model_bytes},
      {"model_n_params", subject.model_n_params},
      {"n_batch", uint64_t{subject.prefill_chunk}},
      {"n_ubatch", uint64_t{subject.prefill_chunk}},
      {"n_threads", uint64_t{subject.n_threads}},
      {"type_k", subject.kv_type},
      {"type_v", subject.kv_type},
      {"n_prompt", uint64_t{result.test.n_prompt}},
      {"n_gen", uint64_t{result.test.n_gen}},
      {"n_depth", uint64_t{result.test.n_depth}},
      {"test_time", result.time},
      {"avg_ns", static_cast<uint64_t>(rates.ns.mean)},
      {"stddev_ns", static_cast<uint64_t>(rates.ns.stddev)},
      {"avg_ts", rates.tokens.mean},
      {"stddev_ts", rates.tokens.stddev},
      {"median_ts", rates.tokens.median},
      {"kernels", subject.kernels},
      {"memory_line_bytes", subject.line_bytes},
      {"peak_memory_bytes", result.peak_memory_bytes},
      {"kv_bytes", result.kv_bytes},
      {"read_bytes", result.work.read_bytes},
      {"read_bytes_per_s", rates.read_bytes},
      {"bandwidth_bytes_per_s", subject.peak.read_bytes},
      {"bandwidth_share", rates.bandwidth_share},
      {"multiply_adds", result.work.multiply_adds()},
      {"multiply_adds_per_s", rates.multiply_adds},
      {"peak_instruction", subject.is_quantized ? "int8_dot" : "fma"},
      {"peak_multiply_adds_per_s", subject.peak_multiply_adds()},
      {"arithmetic_share", rates.arithmetic_share},
  };
  const PagingResult paging = result.paging.value_or(PagingResult());
  const std::vector<Field> of_paging = {
      {"n_experts", uint64_t{paging.n_experts}},
      {"n_expert_frames", uint64_t{paging.n_frames}},
      {"experts_wanted", paging.counts.wanted},
      {"experts_missing", paging.counts.misses},
      {"expert_hit_rate", paging.hit_rate()},
      {"disk_read_bytes", paging.counts.bytes_read},
      {"disk_read_bytes_per_token", paging.read_bytes_per_token()},
      {"disk_bytes_per_s", paging.disk_rate()},
      {"disk_duty", paging.disk_duty()},
      {"disk_peak_bytes_per_s", paging.disk_bytes_per_s},
      {"waited_share", paging.waited_share()},
      {"bound_share", paging.bound_share()},
      {"belady_missing", paging.belady_misses},
      {"missing_over_belady", paging.over_belady()},
      {"plan_ts",
       paging.plan_seconds == 0 ? 0 : static_cast<double>(paging.n_tokens) / paging.plan_seconds},
      {"why", result.paging ? WhySlow(paging) : ""},
  };
  fields.insert(fields.end(), of_paging.begin(), of_paging.end());
  return fields;
}

// One object, with every sample.
std::string RowAsJson(std::string_view version, const Subject& subject, const TestResult& result) {
  JsonText json;
  json.BeginObject();
  for (const Field& field : FieldsOf(version, subject, result)) {
    json.Key(field.name);
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      json.String(*text);
    } else if (const auto* count = std::get_if<uint64_t>(&field.value)) {
      json.Number(*count);
    } else {
      json.Number(std::get<double>(field.value));
    }
  }
  json.Key("samples_ns").BeginArray();
  for (const uint64_t sample : result.samples_ns) {
    json.Number(sample);
  }
  json.EndArray().Key("samples_ts").BeginArray();
  for (const double sample : RatesOf(subject, result).samples_tokens) {
    json.Number(sample);
  }
  json.EndArray().EndObject();
  return json.text();
}

class JsonReport final : public Report {
 public:
  explicit JsonReport(std::string_view version) : version_(version) {}
  [[nodiscard]] std::string Begin() override { return "["; }
  [[nodiscard]] std::string Row(const Subject& subject, const TestResult& result) override {
    const std::string_view separator = is_first_ ? "\n" : ",\n";
    is_first_ = false;
    return std::string(separator) + RowAsJson(version_, subject, result);
  }
  [[nodiscard]] std::string End() override { return "\n]\n"; }

 private:
  std::string version_;
  bool is_first_ = true;
};

class JsonLinesReport final : public Report {
 public:
  explicit JsonLinesReport(std::string_view version) : version_(version) {}
  [[nodiscard]] std::string Begin() override { return {}; }
  [[nodiscard]] std::string Row(const Subject& subject, const TestResult& result) override {
    return RowAsJson(version_, subject, result) + "\n";
  }
  [[nodiscard]] std::string End() override { return {}; }

 private:
  std::string version_;
};

// RFC 4180, every value in quotes as llama-bench has it; the samples are not in it.
class CsvReport final : public Report {
 public:
  explicit CsvReport(std::string_view version) : version_(version) {}
  [[nodiscard]] std::string Begin() override {
    std::string line;
    Subject none;
    none.peak = {.read_bytes = 1, .int8_dots = 1, .fmas = 1};
    for (const Field& field : FieldsOf(version_, none, {.samples_ns = {1}})) {
      line += (line.empty() ? "" : ",") + std::string(field.name);
    }
    return line + "\n";
  }
  [[nodiscard]] std::string Row(const Subject& subject, const TestResult& result) override {
    std::string line;
    for (const Field& field : FieldsOf(version_, subject, result)) {
      line += line.empty() ? "\"" : ",\"";
      for (const char c : ValueOf(field)) {
        line += c == '"' ? "\"\"" : std::string(1, c);
      }
      line += '"';
    }
    return line + "\n";
  }
  [[nodiscard]] std::string End() override { return {}; }

 private:
  static std::string ValueOf(const Field& field) {
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      return *text;
    }
    const auto* count = std::get_if<uint64_t>(&field.value);
    return count != nullptr ? fmt::format("{}", *count)
                            : fmt::format("{:.6g}", std::get<double>(field.value));
  }

  std::string version_;
};

}  // namespace

Result<std::unique_ptr<Report>> MakeReport(std::string_view format, const ReportOptions& options) {
  std::unique_ptr<Report> report;
  if (format == "md") {
    report = MakeMarkdownReport(options);
  } else if (format == "json") {
    report = std::make_unique<JsonReport>(options.version);
  } else if (format == "jsonl") {
    report = std::make_unique<JsonLinesReport>(options.version);
  } else if (format == "csv") {
    report = std::make_unique<CsvReport>(options.version);
  } else {
    return Fail(ErrorKind::kUsage, "\"{}\" is not one of md, json, jsonl, csv", format);
  }
  return report;
}

}  // namespace plimsoll::bench
