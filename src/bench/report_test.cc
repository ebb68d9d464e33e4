#include "bench/report.h"

#include <gmock/gmock.h>
#include <simdjson.h>

namespace plimsoll::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Subject SomeSubject() {
  Subject subject;
  subject.model_filename = "a \"model\",\nof ours.gguf";
  subject.model_type = "olmoe 6.92B Q4_0";
  subject.model_bytes = 3'900'000'000;
  subject.model_n_params = 6'920'000'000;
  subject.is_quantized = true;
  subject.kernels = "avx512";
  subject.n_threads = 2;
  subject.prefill_chunk = 512;
  subject.line_bytes = 8'000'000'000;
  subject.processor = "Some CPU";
  subject.peak = {.read_bytes = 40e9, .int8_dots = 400e9, .fmas = 100e9};
  return subject;
}

TestResult SomeResult(uint32_t n_gen) {
  TestResult result;
  result.test = {.n_gen = n_gen, .n_depth = 4096};
  result.time = "2026-11-21T06:00:00Z";
  result.samples_ns = {500'000'000, 1'500'000'000};
  result.work = {.read_bytes = 10'000'000'000,
                 .weight_multiply_adds = 3'000'000,
                 .attention_multiply_adds = 1'000'000};
  result.peak_memory_bytes = 4'000'000'000;
  result.kv_bytes = 1'000'000;
  return result;
}

// The whole document over two results.
std::string Document(std::string_view format, const ReportOptions& options = {.version = "1.2.3"}) {
  const auto report = MakeReport(format, options).value();
  std::string text = report->Begin();
  text += report->Row(SomeSubject(), SomeResult(16));
  text += report->Row(SomeSubject(), SomeResult(32));
  return text + report->End();
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// RFC 4180: records of fields; quotes may hold anything.
std::vector<std::vector<std::string>> ParseCsv(const std::string& text) {
  std::vector<std::vector<std::string>> records = {{""}};
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"') {
      records.back().back() += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      records.back().emplace_back();
    } else if (c == '\n' && !quoted) {
      records.push_back({""});
    } else {
      records.back().back() += c;
    }
  }
  records.pop_back();  // behind the last line's end
  return records;
}

void ExpectFields(const simdjson::dom::element& row, int64_t n_gen) {
  const auto text = [&](const char* name) { return std::string(row[name].get_string().value()); };
  const auto count = [&](const char* name) { return row[name].get_int64().value(); };
  const auto real = [&](const char* name) { return row[name].get_double().value(); };
  EXPECT_EQ(text("build_version"), "1.2.3");
  EXPECT_EQ(text("model_filename"), SomeSubject().model_filename);
  EXPECT_EQ(text("model_type"), "olmoe 6.92B Q4_0");
  EXPECT_EQ(count("model_size"), 3'900'000'000);
  EXPECT_EQ(count("model_n_params"), 6'920'000'000);
  EXPECT_EQ(count("n_threads"), 2);
  EXPECT_EQ(count("n_batch"), 512);
  EXPECT_EQ(count("n_prompt"), 0);
  EXPECT_EQ(count("n_gen"), n_gen);
  EXPECT_EQ(count("n_depth"), 4096);
  EXPECT_EQ(text("test_time"), "2026-11-21T06:00:00Z");
  EXPECT_EQ(count("avg_ns"), 1'000'000'000);
  EXPECT_EQ(count("stddev_ns"), 707'106'781);
  const auto n = static_cast<double>(n_gen);
  EXPECT_NEAR(real("avg_ts"), (n / 0.5 + n / 1.5) / 2, 1e-9);
  EXPECT_NEAR(real("median_ts"), (n / 0.5 + n / 1.5) / 2, 1e-9);
  EXPECT_EQ(real("read_bytes_per_s"), 10e9);
  EXPECT_EQ(real("bandwidth_share"), 0.25);
  EXPECT_EQ(text("peak_instruction"), "int8_dot");
  EXPECT_EQ(real("peak_multiply_adds_per_s"), 400e9);
  EXPECT_NEAR(real("arithmetic_share"), 3e6 / 400e9 + 1e6 / 100e9, 1e-12);
  EXPECT_EQ(count("peak_memory_bytes"), 4'000'000'000);
  EXPECT_EQ(count("kv_bytes"), 1'000'000);
  ASSERT_EQ(row["samples_ns"].get_array().size(), 2);
  EXPECT_EQ(row["samples_ns"].at(1).get_int64().value(), 1'500'000'000);
  EXPECT_EQ(row["samples_ts"].at(0).get_double().value(), n / 0.5);
}

TEST(Report, JsonIsAnArrayOfRows) {
  simdjson::dom::parser parser;
  const std::string text = Document("json");
  const auto rows = parser.parse(text).get_array().value();
  ASSERT_EQ(rows.size(), 2);
  ExpectFields(rows.at(0), 16);
  ExpectFields(rows.at(1), 32);
}

TEST(Report, JsonWithoutARowIsAnEmptyArray) {
  const auto report = MakeReport("json", {}).value();
  const std::string text = report->Begin() + report->End();
  simdjson::dom::parser parser;
  EXPECT_EQ(parser.parse(text).get_array().size(), 0);
}

TEST(Report, JsonLinesAreTheSameRowsOneALine) {
  const auto lines = Lines(Document("jsonl"));
  ASSERT_EQ(lines.size(), 2);
  simdjson::dom::parser parser;
  ExpectFields(parser.parse(lines[0]).value(), 16);
  ExpectFields(parser.parse(lines[1]).value(), 32);
}

TEST(Report, CsvHasTheSameFieldsAndValues) {
  const auto records = ParseCsv(Document("csv"));
  ASSERT_EQ(records.size(), 3);
  simdjson::dom::parser parser;
  const std::string lines = Lines(Document("jsonl"))[1];
  const simdjson::dom::element row = parser.parse(lines).value();
  ASSERT_EQ(records[2].size(), records[0].size());
  EXPECT_EQ(records[0].size() + 2, row.get_object().size());  // the samples are not in it
  for (size_t i = 0; i < records[0].size(); ++i) {
    const simdjson::dom::element field = row[records[0][i]].value();
    if (field.is_string()) {
      EXPECT_EQ(records[2][i], field.get_string().value());
    } else {
      const double value = field.is_double() ? field.get_double().value()
                                             : static_cast<double>(field.get_int64().value());
      EXPECT_NEAR(std::stod(records[2][i]), value, 1e-5 * value) << records[0][i];
    }
  }
}

TEST(Report, TableAlignsItsColumnsAndNamesThePeaksOnce) {
  const std::string text = Document("md");
  const auto lines = Lines(text);
  ASSERT_EQ(lines.size(), 7);
  EXPECT_THAT(lines[0], StartsWith("| model "));
  EXPECT_THAT(lines[1], StartsWith("| ---"));
  for (const size_t i : {2U, 3U}) {
    // "±" is two bytes and one column.
    EXPECT_EQ(lines[i].size(), lines[0].size() + 1);
    EXPECT_EQ(std::ranges::count(lines[i], '|'), std::ranges::count(lines[0], '|'));
  }
  EXPECT_EQ(lines[1].size(), lines[0].size());
  EXPECT_THAT(lines[2], HasSubstr("tg16 @ d4096 |    21.33 ± 15.08 |   10.0 |    25.0 % |"));
  EXPECT_THAT(text, Not(HasSubstr("chunk")));
  EXPECT_THAT(lines[5], testing::Eq("peak of avx512 with 2 threads: 40.0 GB/s read; 400.0 G "
                                    "multiply-adds/s of 8-bit integers, 100.0 G of floats"));
  EXPECT_EQ(lines[6], "plimsoll 1.2.3");
}

TEST(Report, TableShowsChunkAndLineWhenAsked) {
  const auto lines =
      Lines(Document("md", {.version = "", .shows_chunk = true, .shows_line = true}));
  EXPECT_THAT(lines[0], HasSubstr("| chunk |     line |"));
  EXPECT_THAT(lines[2], HasSubstr("|   512 | 7.45 GiB |"));
}

// Of 20 tokens in 2 s: a quarter of 1,000 experts missing, 1 GB read in 0.8 s.
TestResult PagedResult() {
  TestResult result = SomeResult(10);
  result.paging = PagingResult{.n_experts = 1024,
                               .n_frames = 256,
                               .counts = {.wanted = 1000,
                                          .misses = 250,
                                          .bytes_read = 1'000'000'000,
                                          .waited_seconds = 1,
                                          .disk_busy_seconds = 0.8},
                               .n_tokens = 20,
                               .seconds = 2,
                               .disk_bytes_per_s = 1.5e9,
                               .bound_seconds = 1.8,
                               .belady_misses = 200,
                               .plan_seconds = 1.6};
  return result;
}

TEST(Report, FieldsSayHowPagedExpertsFare) {
  const auto report = MakeReport("jsonl", {}).value();
  simdjson::dom::parser parser;
  const std::string text = report->Row(SomeSubject(), PagedResult());
  const simdjson::dom::element row = parser.parse(text).value();
  EXPECT_EQ(row["n_experts"].get_int64().value(), 1024);
  EXPECT_EQ(row["n_expert_frames"].get_int64().value(), 256);
  EXPECT_EQ(row["experts_missing"].get_int64().value(), 250);
  EXPECT_EQ(row["expert_hit_rate"].get_double().value(), 0.75);
  EXPECT_EQ(row["disk_read_bytes_per_token"].get_double().value(), 5e7);
  EXPECT_EQ(row["disk_bytes_per_s"].get_double().value(), 1.25e9);
  EXPECT_EQ(row["disk_duty"].get_double().value(), 0.4);
  EXPECT_EQ(row["waited_share"].get_double().value(), 0.5);
  EXPECT_EQ(row["bound_share"].get_double().value(), 0.9);
  EXPECT_EQ(row["missing_over_belady"].get_double().value(), 1.25);
  EXPECT_EQ(row["plan_ts"].get_double().value(), 12.5);
  EXPECT_EQ(std::string(row["why"].get_string().value()), WhySlow(*PagedResult().paging));
}

TEST(Report, TableShowsHowPagedExpertsFareAndWhy) {
  const auto report = MakeReport("md", {.version = "", .shows_paging = true}).value();
  const std::string head = report->Begin();
  EXPECT_THAT(head,
              HasSubstr("|    hits | read/token | disk GB/s | disk busy | of bound | x Belady"));
  EXPECT_THAT(
      report->Row(SomeSubject(), PagedResult()),
      HasSubstr(
          "|  75.0 % |      50 MB |      1.25 |    40.0 % |   90.0 % |     1.25 |    12.50 |"));
  const std::string all_there = report->Row(SomeSubject(), SomeResult(16));
  EXPECT_EQ(std::ranges::count(all_there, '|'), std::ranges::count(Lines(head)[0], '|'));
  EXPECT_THAT(report->End(),
              HasSubstr("\ntg10 @ d4096 with 7.45 GiB: 75 % of the experts were in "));
  EXPECT_THAT(Document("md"), Not(HasSubstr("Belady")));
}

TEST(Report, RefusesAFormatThatThereIsNot) {
  const auto report = MakeReport("sql", {});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(report.error().message, HasSubstr("md, json, jsonl, csv"));
}

}  // namespace
}  // namespace plimsoll::bench
