#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "base/checked.h"
#include "cli/plan.h"

namespace plimsoll::cli {
namespace {

using engine::ExpertShare;
using engine::LineDivision;
using engine::MissCurve;
using engine::Planner;
using engine::Residence;

double ShareOf(const LineDivision& division) {
  uint64_t n_pages = 0;
  uint64_t n_frames = 0;
  for (const ExpertShare& share : division.experts) {
    n_pages += share.n_pages;
    n_frames += share.n_frames;
  }
  return n_pages == 0 ? 1 : static_cast<double>(n_frames) / static_cast<double>(n_pages);
}

double KeptShareOf(const engine::StreamShare& stream) {
  return stream.total_bytes == 0
             ? 1
             : static_cast<double>(stream.kept_bytes) / static_cast<double>(stream.total_bytes);
}

// The lines worth a row, by their bytes: where something changes, shares of the file, and the one
// that was asked for.
std::map<uint64_t, std::string> LinesOf(const Planner& planner, uint64_t asked) {
  const engine::Landmarks& at = planner.landmarks();
  const uint64_t file = planner.catalogue().TotalBytes();
  std::map<uint64_t, std::string> lines = {{at.least, "the least that runs"},
                                           {at.all_chunk, "everything in memory"}};
  if (at.dense > at.least) {
    lines.emplace(at.dense, "the dense weights");
  }
  if (at.cycle > at.dense) {
    lines.emplace(at.cycle, "one token's experts");
  }
  if (at.least < at.all) {
    for (const double percent : {25.0, 50.0, 75.0}) {
      const uint64_t line = SizeSpec{.percent = percent}.Resolve(file);
      if (line > at.least && line < at.all) {
        lines.emplace(line, fmt::format("{} % of the file", percent));
      }
    }
  }
  lines[asked] = lines.contains(asked) ? lines[asked] + ", as asked" : "as asked";
  return lines;
}

// Where the misses come from: one curve for all lines.
Result<MissCurve> CurveFor(const Planner& planner, const PlanInputs& inputs,
                           std::vector<double> shares) {
  if (inputs.trace != nullptr) {
    if (auto fits = engine::CheckTraceFits(*inputs.trace, planner.hyper_params()); !fits) {
      return Forward(fits);
    }
    std::ranges::sort(shares);
    const auto repeated = std::ranges::unique(shares);
    shares.erase(repeated.begin(), repeated.end());
    return MissCurve::OfTrace(*inputs.trace, shares);
  }
  return inputs.misses;
}

void Describe(const Planner& planner, PlanReport& report) {
  const model::HyperParams& hp = planner.hyper_params();
  report.name = planner.name();
  report.architecture = hp.architecture;
  report.file_bytes = planner.catalogue().TotalBytes();
  report.n_layers = hp.n_layers;
  for (const auto& layer : hp.layers) {
    if (layer.is_moe()) {
      report.n_experts = report.n_expert_layers == 0 ? layer.n_experts : report.n_experts;
      report.n_active = report.n_expert_layers == 0 ? layer.n_experts_active : report.n_active;
      ++report.n_expert_layers;
    }
  }
  report.n_ctx = planner.n_ctx();
  report.n_parallel = planner.n_parallel();
  report.kv_type = planner.kv().Text();
  report.kv_policy = planner.kv_policy().Text();
  report.n_threads = planner.n_threads();
  report.kernels = planner.kernels().name;
  report.landmarks = planner.landmarks();
}

void Forecast(const MissCurve& curve, PlanReport& report) {
  const bool is_paged = !report.division.experts.empty();
  report.share = ShareOf(report.division);
  report.miss_ratio = is_paged ? curve.At(report.share) : 0;
  report.decode = CostOfDecode(report.work, report.speed, report.miss_ratio);
  report.decode_if_even = CostOfDecode(report.work, report.speed, is_paged ? 1 - report.share : 0);
  if (is_paged) {
    report.misses_from = curve.source();
  }
  engine::PrefillShape shape = {
      .n_tokens = report.n_prompt, .chunk = report.prefill_chunk, .resident_share = report.share};
  report.prompt = CostOfPrefill(report.work, report.speed, shape);
  shape.is_cold = is_paged;
  report.first_prompt = CostOfPrefill(report.work, report.speed, shape);
  // What is streamed and kept is read with the first prompt.
  const engine::StreamShare& stream = report.division.stream;
  report.start_bytes =
      report.division.residence == Residence::kAll
          ? report.file_bytes
          : report.division.parts.dense + report.division.parts.vocab - stream.ring_bytes;
  report.start_seconds =
      report.speed.disk.sustained == 0
          ? 0
          : static_cast<double>(report.start_bytes) / report.speed.disk.sustained;
}

void Warn(const PlanInputs& inputs, PlanReport& report) {
  const uint32_t n_cycle = report.work.n_active();
  const uint64_t stream_bytes = report.division.stream.streamed_bytes();
  uint64_t n_frames = 0;
  for (const ExpertShare& share : report.division.experts) {
    n_frames += share.n_frames;
  }
  const bool is_paged = report.division.residence != Residence::kAll;
  if (!report.division.experts.empty() && n_frames < n_cycle) {
    report.warnings.push_back(fmt::format(
        "{} experts have a place in memory, and one token uses {}: most of them are read "
        "again for every token. --memory {} holds them.",
        n_frames, n_cycle, EnoughFor(report.landmarks.cycle)));
  }
  if (report.prefill_chunk < inputs.prefill_chunk) {
    report.warnings.push_back(
        fmt::format("Prompts are read {} tokens at a time and not {}, to leave memory for the "
                    "weights{}.",
                    report.prefill_chunk, inputs.prefill_chunk,
                    is_paged ? "; the missing ones are read for each of these chunks" : ""));
  }
  if (report.division.residence == Residence::kStreamed) {
    report.warnings.push_back(fmt::format(
        "The dense weights do not all fit: {} of them are read for every token. --memory {} holds "
        "them.",
        FormatBytes(stream_bytes), EnoughFor(report.landmarks.dense)));
  }
  if (is_paged && !report.disk_not_measured.empty()) {
    report.warnings.push_back(
        fmt::format("The disk was not measured: {}. What is missing counts as "
                    "read in no time.",
                    report.disk_not_measured));
  } else if (is_paged && !report.speed.disk.direct) {
    report.warnings.push_back(
        "The file system refuses direct I/O: what is read also takes the page cache's memory and "
        "time.");
  }
}

}  // namespace

std::string EnoughFor(uint64_t bytes) { return fmt::format("{}M", CeilDiv(bytes, kMiB)); }

Result<PlanReport> MakePlanReport(Planner& planner, const PlanInputs& inputs) {
  PlanReport report;
  Describe(planner, report);
  report.line_bytes = inputs.line_bytes;
  report.n_prompt = inputs.n_prompt;
  report.reached = inputs.reached;
  report.speed = inputs.speed;
  report.disk_not_measured = inputs.disk_not_measured;
  report.work = planner.WorkAt(report.n_ctx / 2);

  std::vector<double> shares;
  for (const auto& [line, what] : LinesOf(planner, inputs.line_bytes)) {
    auto fitted = planner.At(line);
    if (!fitted) {
      report.refusal = fitted.error().message;  // only the line that was asked for can be too low
      continue;
    }
    if (line == inputs.line_bytes) {
      report.division = fitted->division;
      report.prefill_chunk = fitted->model->max_chunk();
      report.work.streamed_bytes = fitted->division.stream.streamed_bytes();
    }
    report.rows.push_back({.what = what,
                           .line_bytes = line,
                           .is_asked = line == inputs.line_bytes,
                           .prefill_chunk = fitted->model->max_chunk(),
                           .share = ShareOf(fitted->division),
                           .kept_share = KeptShareOf(fitted->division.stream),
                           .streamed_bytes = fitted->division.stream.streamed_bytes(),
                           .decode = {}});
    shares.push_back(report.rows.back().share);
  }
  const auto curve = CurveFor(planner, inputs, std::move(shares));
  if (!curve) {
    return tl::unexpected(curve.error());
  }
  for (PlanRow& row : report.rows) {
    engine::TokenWork work = report.work;
    work.streamed_bytes = row.streamed_bytes;
    row.decode = CostOfDecode(work, report.speed, curve->At(row.share));
  }
  if (report.refusal.empty()) {
    Forecast(*curve, report);
    Warn(inputs, report);
  }
  return report;
}

}  // namespace plimsoll::cli
