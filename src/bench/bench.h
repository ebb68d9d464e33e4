// A whole run: models, settings and tests, one after another.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "bench/plan.h"
#include "bench/result.h"
#include "engine/engine.h"

namespace plimsoll::bench {

// Every test is run with every combination of the settings. No list is empty.
struct BenchPlan {
  std::vector<std::optional<std::filesystem::path>> models = {std::nullopt};  // none: bundled
  std::vector<std::string> kernels = {""};                                    // "": the fastest
  std::vector<std::optional<SizeSpec>> memory = {std::nullopt};
  std::vector<uint32_t> prefill_chunks = {512};
  std::vector<uint32_t> n_threads = {0};  // 0: the physical cores
  std::vector<BenchTest> tests;
  uint32_t repetitions = 5;
  bool warm_up = true;
  std::string prefetch;  // as EngineOptions
  kv::Precision kv;
  // Tokens come from this text; empty: they are random. Random tokens are routed unlike text.
  std::string text;
};

struct BenchHooks {
  std::function<Result<std::unique_ptr<engine::Engine>>(const engine::EngineOptions&)> load;
  // What goes on: "measuring the machine", "OLMoE pp512: 3 of 5".
  std::function<void(std::string_view)> on_phase;
  // Where experts are paged, after the last test of an engine. An error ends the run.
  std::function<Result<>(const Subject&, const TestResult&)> on_result;
};

// One engine at a time, with a context of the longest test. Before each, with no model loaded, the
// machine's peaks are measured. The first error ends the run; kUsage when there is no test.
[[nodiscard]] Result<> RunBench(const BenchPlan& plan, const BenchHooks& hooks);

}  // namespace plimsoll::bench
