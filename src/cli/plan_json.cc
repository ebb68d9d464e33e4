#include "base/json_text.h"
#include "cli/plan.h"

namespace plimsoll::cli {
namespace {

constexpr int kPlanSchemaVersion = 1;

std::string_view SourceName(engine::MissCurve::Source source) {
  switch (source) {
    case engine::MissCurve::Source::kRecorded:
      return "trace";
    case engine::MissCurve::Source::kProfile:
      return "profile";
    case engine::MissCurve::Source::kTypical:
      break;
  }
  return "typical";
}

std::string_view ResidenceName(engine::Residence residence) {
  switch (residence) {
    case engine::Residence::kPaged:
      return "paged";
    case engine::Residence::kStreamed:
      return "streamed";
    case engine::Residence::kAll:
      break;
  }
  return "all";
}

void PutModel(const PlanReport& report, JsonText& json) {
  json.Key("model").BeginObject().Key("name").String(report.name);
  json.Key("architecture").String(report.architecture);
  json.Key("file_bytes").Number(report.file_bytes);
  json.Key("n_layers").Number(report.n_layers);
  json.Key("n_expert_layers").Number(report.n_expert_layers);
  json.Key("n_experts").Number(report.n_experts);
  json.Key("n_experts_active").Number(report.n_active).EndObject();
}

void PutMemory(const PlanReport& report, JsonText& json) {
  const engine::MemoryPlan& parts = report.division.parts;
  json.Key("residence");
  json.String(ResidenceName(report.division.residence));
  json.Key("prefill_chunk").Number(report.prefill_chunk);
  json.Key("total_bytes").Number(parts.total());
  json.Key("accounts").BeginObject();
  json.Key("weights").Number(parts.dense).Key("vocab").Number(parts.vocab);
  json.Key("experts").Number(parts.experts).Key("kv").Number(parts.kv);
  json.Key("scratch").Number(parts.scratch).Key("io").Number(parts.io);
  json.Key("index").Number(parts.index + parts.requests).EndObject();
  json.Key("frames").BeginArray();
  for (const engine::ExpertShare& share : report.division.experts) {
    json.BeginObject().Key("frame_bytes").Number(share.frame_bytes);
    json.Key("n_experts").Number(share.n_pages).Key("n_frames").Number(share.n_frames);
    json.Key("n_frames_min").Number(share.n_frames_min).EndObject();
  }
  json.EndArray();
  const engine::StreamShare& stream = report.division.stream;
  json.Key("stream").BeginObject().Key("total_bytes").Number(stream.total_bytes);
  json.Key("kept_bytes").Number(stream.kept_bytes);
  json.Key("ring_bytes").Number(stream.ring_bytes).EndObject();
}

void PutDecode(const engine::DecodeCost& cost, JsonText& json) {
  json.Key("misses_per_token").Number(cost.misses);
  json.Key("read_bytes_per_token").Number(cost.read_bytes);
  json.Key("seconds_per_token").Number(cost.seconds());
  json.Key("waiting_seconds_per_token").Number(cost.waiting_seconds);
  json.Key("disk_seconds_per_token").Number(cost.disk_seconds);
  json.Key("bound_tokens_per_second").Number(1 / cost.seconds());
}

void PutSpeeds(const PlanReport& report, JsonText& json) {
  json.Key("machine").BeginObject().Key("memory_bytes_per_second").Number(report.speed.memory);
  json.Key("multiply_adds_per_second").Number(report.speed.multiply_adds);
  json.Key("disk_bytes_per_second");
  if (report.disk_not_measured.empty()) {
    json.Number(report.speed.disk.sustained);
  } else {
    json.Null().Key("disk_not_measured").String(report.disk_not_measured);
  }
  json.EndObject().Key("decode").BeginObject();
  json.Key("experts_per_token").Number(report.work.n_active());
  json.Key("misses_from");
  report.misses_from ? json.String(SourceName(*report.misses_from)) : json.Null();
  json.Key("miss_ratio").Number(report.miss_ratio);
  PutDecode(report.decode, json);
  json.Key("reached_of_bound").Number(report.reached);
  json.Key("expected_tokens_per_second").Number(report.reached / report.decode.seconds());
  json.Key("bound_tokens_per_second_if_even").Number(1 / report.decode_if_even.seconds());
  json.EndObject().Key("prompt").BeginObject().Key("n_tokens").Number(report.n_prompt);
  json.Key("n_chunks").Number(report.prompt.n_chunks);
  json.Key("read_bytes_per_chunk").Number(report.prompt.chunk_read_bytes);
  json.Key("read_bytes").Number(report.prompt.read_bytes);
  json.Key("seconds").Number(report.prompt.seconds()).EndObject();
  json.Key("start").BeginObject().Key("read_bytes").Number(report.start_bytes);
  json.Key("seconds").Number(report.start_seconds);
  json.Key("first_token_seconds")
      .Number(report.start_seconds + report.first_prompt.seconds())
      .EndObject();
}

}  // namespace

std::string PlanJson(const PlanReport& report) {
  JsonText json;
  json.BeginObject().Key("schema_version").Number(kPlanSchemaVersion);
  PutModel(report, json);
  json.Key("line_bytes").Number(report.line_bytes).Key("n_ctx").Number(report.n_ctx);
  json.Key("n_parallel").Number(report.n_parallel);
  json.Key("kv_type").String(report.kv_type).Key("kv_policy").String(report.kv_policy);
  json.Key("n_threads").Number(report.n_threads).Key("kernels").String(report.kernels);
  json.Key("fits").Bool(report.refusal.empty());
  json.Key("landmarks").BeginObject().Key("least_bytes").Number(report.landmarks.least);
  json.Key("dense_bytes").Number(report.landmarks.dense);
  json.Key("cycle_bytes").Number(report.landmarks.cycle);
  json.Key("all_bytes").Number(report.landmarks.all);
  json.Key("all_whole_chunk_bytes").Number(report.landmarks.all_chunk).EndObject();
  if (report.refusal.empty()) {
    PutMemory(report, json);
    PutSpeeds(report, json);
  } else {
    json.Key("refusal").String(report.refusal);
  }
  json.Key("lines").BeginArray();
  for (const PlanRow& row : report.rows) {
    json.BeginObject().Key("line_bytes").Number(row.line_bytes).Key("what").String(row.what);
    json.Key("expert_share").Number(row.share).Key("dense_share").Number(row.kept_share);
    json.Key("prefill_chunk").Number(row.prefill_chunk);
    PutDecode(row.decode, json);
    json.EndObject();
  }
  json.EndArray().Key("warnings").BeginArray();
  for (const std::string& warning : report.warnings) {
    json.String(warning);
  }
  json.EndArray().Key("verdict").String(PlanVerdict(report)).EndObject();
  return json.text() + '\n';
}

}  // namespace plimsoll::cli
