#include "bench/result.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "io/machine.h"

namespace plimsoll::bench {
namespace {

using tensor::DType;

// "904.94M", "6.92B"
std::string FormatParameters(uint64_t n) {
  const auto count = static_cast<double>(n);
  return n < 1'000'000'000 ? fmt::format("{:.2f}M", count / 1e6)
                           : fmt::format("{:.2f}B", count / 1e9);
}

}  // namespace

Subject DescribeSubject(const engine::Engine& engine, std::string model_filename,
                        const MachinePeak& peak) {
  const engine::ModelSummary& summary = engine.summary();
  const formats::Summary& contents = engine.contents();
  const DType dtype = contents.by_dtype.empty() ? DType::kF32 : contents.by_dtype.front().first;
  Subject subject;
  subject.model_filename = std::move(model_filename);
  subject.model_type =
      fmt::format("{} {} {}", summary.architecture, FormatParameters(contents.all.parameters),
                  tensor::Traits(dtype).name);
  subject.model_bytes = contents.all.bytes;
  subject.model_n_params = contents.all.parameters;
  subject.is_quantized = kernels::ActivationFormatFor(dtype) != kernels::ActivationFormat::kF32;
  subject.kernels = summary.kernels;
  subject.n_threads = summary.n_threads;
  subject.prefill_chunk = summary.prefill_chunk;
  subject.kv_type = summary.kv_type;
  subject.line_bytes = engine.ledger().budget_bytes;
  subject.processor = io::ProcessorName();
  subject.peak = peak;
  return subject;
}

Spread SpreadOf(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  Spread spread;
  for (const double value : values) {
    spread.mean += value / n;
  }
  double squares = 0;
  for (const double value : values) {
    squares += (value - spread.mean) * (value - spread.mean);
  }
  spread.stddev = values.size() < 2 ? 0 : std::sqrt(squares / (n - 1));
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  const size_t half = sorted.size() / 2;
  spread.median = sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return spread;
}

Rates RatesOf(const Subject& subject, const TestResult& result) {
  Rates rates;
  std::vector<double> ns;
  for (const uint64_t sample : result.samples_ns) {
    ns.push_back(static_cast<double>(sample));
    rates.samples_tokens.push_back(1e9 * result.test.n_timed() / ns.back());
  }
  rates.ns = SpreadOf(ns);
  rates.tokens = SpreadOf(rates.samples_tokens);
  const double seconds = rates.ns.mean / 1e9;
  rates.read_bytes = static_cast<double>(result.work.read_bytes) / seconds;
  rates.multiply_adds = static_cast<double>(result.work.multiply_adds()) / seconds;
  rates.bandwidth_share = rates.read_bytes / subject.peak.read_bytes;
  const double at_peak =
      static_cast<double>(result.work.weight_multiply_adds) / subject.peak_multiply_adds() +
      static_cast<double>(result.work.attention_multiply_adds) / subject.peak.fmas;
  rates.arithmetic_share = at_peak / seconds;
  return rates;
}

}  // namespace plimsoll::bench
