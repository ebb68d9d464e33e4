// `plimsoll plan`: what fits a line, how it is divided, and how fast that can be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "engine/cost_model.h"
#include "engine/miss_curve.h"
#include "engine/planner.h"
#include "memory/trace/trace.h"

namespace plimsoll::cli {

// A line, and what decoding would be like with it.
struct PlanRow {
  std::string what;  // why it is worth a row
  uint64_t line_bytes = 0;
  bool is_asked = false;  // the line that the report is about
  uint32_t prefill_chunk = 0;
  double share = 1;             // of the experts that have a frame
  double kept_share = 1;        // of dense weights
  uint64_t streamed_bytes = 0;  // of these, for every token
  engine::DecodeCost decode;
};

struct PlanReport {
  std::string name;
  std::string architecture;
  uint64_t file_bytes = 0;
  uint32_t n_layers = 0;
  uint32_t n_expert_layers = 0;
  uint32_t n_experts = 0;  // of the first layer that has any, as is n_active
  uint32_t n_active = 0;
  uint32_t n_parallel = 1;
  uint32_t n_ctx = 0;
  std::string kv_type;    // kv::Precision::Text
  std::string kv_policy;  // kv::policy::PolicyOptions::Text
  uint32_t n_threads = 0;
  std::string kernels;

  uint64_t line_bytes = 0;
  std::string refusal;  // why nothing runs with this line; empty: it fits
  engine::LineDivision division;
  uint32_t prefill_chunk = 0;
  engine::Landmarks landmarks;

  engine::MachineSpeed speed;
  std::string disk_not_measured;  // why there is no speed of the disk
  engine::TokenWork work;
  std::optional<engine::MissCurve::Source> misses_from;  // nothing: nothing can be missing
  double share = 1;
  double miss_ratio = 0;
  engine::DecodeCost decode;
  double reached = engine::kReachedTypical;  // of the bound; the speed to expect is bound * this
  // If tokens chose all experts equally often, which no policy can make worse: the slowest that is
  // to be expected.
  engine::DecodeCost decode_if_even;
  uint32_t n_prompt = 0;
  engine::PrefillCost prompt;        // in the steady state
  engine::PrefillCost first_prompt;  // the first after the start
  uint64_t start_bytes = 0;          // read before the first prompt
  double start_seconds = 0;
  std::vector<PlanRow> rows;
  std::vector<std::string> warnings;
};

struct PlanInputs {
  uint64_t line_bytes = 0;
  uint32_t prefill_chunk = 512;  // as asked
  uint32_t n_prompt = 512;
  engine::MachineSpeed speed;
  std::string disk_not_measured;
  // Where there is no trace to count them on.
  engine::MissCurve misses = engine::MissCurve::Typical(1);
  const memory::trace::Trace* trace = nullptr;
  double reached = engine::kReachedTypical;
};

// kUsage or kFailed when the trace is of no use. A line that is too low is no error but a refusal
// in the report.
[[nodiscard]] Result<PlanReport> MakePlanReport(engine::Planner& planner, const PlanInputs& inputs);

[[nodiscard]] std::string PlanText(const PlanReport& report);
// One object, and a newline.
[[nodiscard]] std::string PlanJson(const PlanReport& report);
// A --memory value that is enough: whole MiB, rounded up.
[[nodiscard]] std::string EnoughFor(uint64_t bytes);
// In words: what it comes to.
[[nodiscard]] std::string PlanVerdict(const PlanReport& report);

Result<> PlanCommand(std::vector<std::string> args, const CommandContext& context);

}  // namespace plimsoll::cli
