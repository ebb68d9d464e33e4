// What came out of a test, and what that is beside the machine's peaks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/machine_peak.h"
#include "bench/paging.h"
#include "bench/plan.h"
#include "bench/work.h"
#include "engine/engine.h"

namespace plimsoll::bench {

// A loaded model on this machine: what a table's rows have in common.
struct Subject {
  std::string model_filename;
  std::string model_type;    // architecture, parameters and the type of most weights
  uint64_t model_bytes = 0;  // of all tensors
  uint64_t model_n_params = 0;
  bool is_quantized = false;  // most weights are; so 8-bit dot products are its arithmetic
  std::string kernels;
  uint32_t n_threads = 0;
  uint32_t prefill_chunk = 0;
  std::string kv_type;      // of keys and values
  uint64_t line_bytes = 0;  // --memory
  std::string processor;
  MachinePeak peak;

  // Of the instruction that meets the weights.
  [[nodiscard]] double peak_multiply_adds() const {
    return is_quantized ? peak.int8_dots : peak.fmas;
  }
};

[[nodiscard]] Subject DescribeSubject(const engine::Engine& engine, std::string model_filename,
                                      const MachinePeak& peak);

struct TestResult {
  BenchTest test;
  std::string time;                  // when it began: 2026-11-21T06:00:00Z
  std::vector<uint64_t> samples_ns;  // not empty
  Work work;                         // of one repetition
  // The most that the process had resident since before the model was loaded, its own code and
  // tables included, and what of the line was reserved for keys and values by then.
  uint64_t peak_memory_bytes = 0;
  uint64_t kv_bytes = 0;
  std::optional<PagingResult> paging;  // nothing: every expert was in memory
};

// Mean and sample standard deviation (0 for a single value); the median of an even number of values
// is the mean of the two in the middle.
struct Spread {
  double mean = 0;
  double stddev = 0;
  double median = 0;
};
[[nodiscard]] Spread SpreadOf(std::span<const double> values);

struct Rates {
  Spread ns;
  Spread tokens;  // a second
  std::vector<double> samples_tokens;
  // From the mean time.
  double read_bytes = 0;  // a second
  double multiply_adds = 0;
  // Shares of the machine's peaks. The arithmetic counts each kind of multiply-add at its own peak:
  // weights at Subject::peak_multiply_adds, attention at that of floats.
  double bandwidth_share = 0;
  double arithmetic_share = 0;
};
[[nodiscard]] Rates RatesOf(const Subject& subject, const TestResult& result);

}  // namespace plimsoll::bench
