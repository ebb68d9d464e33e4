#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "cli/plan.h"

namespace plimsoll::cli {
namespace {

using engine::MissCurve;

constexpr size_t kLineWidth = 100;

// With a decimal prefix, as bandwidths have: "131 MB".
std::string Decimal(double bytes) {
  return bytes >= 1e9   ? fmt::format("{:.2f} GB", bytes / 1e9)
         : bytes >= 1e7 ? fmt::format("{:.0f} MB", bytes / 1e6)
                        : fmt::format("{:.0f} kB", bytes / 1e3);
}

std::string Rate(double seconds) {
  if (seconds <= 0) {
    return "-";
  }
  const double rate = 1 / seconds;
  return rate < 10 ? fmt::format("{:.2f}", rate) : fmt::format("{:.1f}", rate);
}

std::string Wrapped(std::string_view text, std::string_view first, size_t indent) {
  std::string out;
  std::string line(first);
  bool is_empty = true;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (!is_empty && line.size() + 1 + end > kLineWidth) {
      out += line + '\n';
      line.assign(indent, ' ');
      is_empty = true;
    }
    line += is_empty ? "" : " ";
    line += text.substr(0, end);
    is_empty = false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + line + '\n';
}

std::string Head(const PlanReport& report) {
  std::string text =
      fmt::format("{} ({}), {} in its files: {} layers", report.name, report.architecture,
                  FormatBytes(report.file_bytes), report.n_layers);
  if (report.n_experts != 0) {
    text += fmt::format(", {} experts in {}, {} of them for a token", report.n_experts,
                        report.n_expert_layers == report.n_layers
                            ? "each"
                            : fmt::format("{} of these", report.n_expert_layers),
                        report.n_active);
  }
  return text + fmt::format("\nA line of {}, a context of {} tokens, {} thread{} with {}\n",
                            FormatBytes(report.line_bytes), report.n_ctx, report.n_threads,
                            report.n_threads == 1 ? "" : "s", report.kernels);
}

std::string FramesNote(const PlanReport& report) {
  std::string note;
  for (const engine::ExpertShare& share : report.division.experts) {
    note += fmt::format("{}{} of {} experts at a time, {} each", note.empty() ? "" : "; ",
                        share.n_frames, share.n_pages, FormatBytes(share.frame_bytes));
  }
  return note.empty() ? "all of them" : note;
}

std::string WeightsNote(const engine::StreamShare& stream) {
  if (stream.total_bytes == 0) {
    return "dense layers, norms, routers";
  }
  return fmt::format("{} of {} of matrices; the others pass through {}",
                     FormatBytes(stream.kept_bytes), FormatBytes(stream.total_bytes),
                     FormatBytes(stream.ring_bytes));
}

std::string Accounts(const PlanReport& report) {
  const engine::MemoryPlan& parts = report.division.parts;
  const auto row = [&](std::string_view account, uint64_t bytes, std::string_view note) {
    const double share = report.line_bytes == 0 ? 0
                                                : 100 * static_cast<double>(bytes) /
                                                      static_cast<double>(report.line_bytes);
    std::string line =
        fmt::format("  {:<9} {:>9} {:>5.1f} %   {}", account, FormatBytes(bytes), share, note);
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
  };
  std::string text = "\n  account       bytes    line   for\n";
  text += row("weights", parts.dense, WeightsNote(report.division.stream));
  text += row("vocab", parts.vocab, "embedding, output matrix, tokenizer");
  if (report.n_experts != 0) {
    text += row("experts", parts.experts, FramesNote(report));
  }
  const std::string times =
      report.n_parallel == 1 ? "" : fmt::format("{} times ", report.n_parallel);
  text += row("kv", parts.kv,
              fmt::format("keys and values of {}{} tokens{}{}", times, report.n_ctx,
                          report.kv_type == "f16" ? "" : ", " + report.kv_type,
                          report.kv_policy == "full" ? "" : ", " + report.kv_policy));
  text += row("scratch", parts.scratch,
              fmt::format("a prompt's chunk of {} tokens", report.prefill_chunk));
  if (parts.index + parts.io != 0) {
    text += row("index", parts.index + parts.requests,
                parts.requests == 0 ? "tables of the pager and its policy"
                                    : "tables of the pager, its policy and of requests");
    text += row("io", parts.io, "tables of the reader");
  } else if (parts.requests != 0) {
    text += row("index", parts.requests, "tables of requests");
  }
  text += row("total", parts.total(), "");
  text += row("free", report.line_bytes - std::min(report.line_bytes, parts.total()), "");
  return text;
}

std::string_view SourceNote(MissCurve::Source source) {
  switch (source) {
    case MissCurve::Source::kRecorded:
      return "as in the trace";
    case MissCurve::Source::kProfile:
      return "as in its last measured run";
    case MissCurve::Source::kTypical:
      break;
  }
  return "as models of this shape route; --probe knows better";
}

// "at most 14.0 tokens/s, 11.9 to expect"
std::string SpeedOf(const PlanReport& report) {
  const double seconds = report.decode.seconds();
  std::string text = fmt::format("at most {} tokens/s, {} to expect", Rate(seconds),
                                 Rate(seconds / report.reached));
  if (report.misses_from == MissCurve::Source::kTypical) {
    text += fmt::format(", {} if it routes evenly",
                        Rate(report.decode_if_even.seconds() / report.reached));
  }
  return text;
}

std::string TokenNote(const PlanReport& report) {
  const engine::DecodeCost& decode = report.decode;
  if (report.division.residence == engine::Residence::kAll) {
    return fmt::format("{} from memory, {:.1f} ms: {}",
                       Decimal(decode.seconds() * report.speed.memory), 1e3 * decode.seconds(),
                       SpeedOf(report));
  }
  std::string text;
  if (report.misses_from) {
    text = fmt::format("{:.1f} of its {} experts are missing ({:.1f} %, {}): ", decode.misses,
                       report.work.n_active(), 100 * report.miss_ratio,
                       SourceNote(*report.misses_from));
  }
  if (report.work.streamed_bytes != 0) {
    text += fmt::format("{} of dense weights are streamed: ",
                        Decimal(static_cast<double>(report.work.streamed_bytes)));
  }
  return text +
         fmt::format("{} from the disk. Memory {:.1f} ms, waiting for the disk {:.1f} ms: {}",
                     Decimal(decode.read_bytes),
                     1e3 * (decode.dense_seconds + decode.expert_seconds),
                     1e3 * decode.waiting_seconds, SpeedOf(report));
}

std::string Speeds(const PlanReport& report) {
  std::string text = "\n" + Wrapped(TokenNote(report), "  a token   ", 12);
  const engine::PrefillCost& prompt = report.prompt;
  std::string reads;
  if (report.division.residence != engine::Residence::kAll) {
    reads = fmt::format(" in {} chunk{} of {}, {} from the disk for each", prompt.n_chunks,
                        prompt.n_chunks == 1 ? "" : "s", report.prefill_chunk,
                        Decimal(prompt.chunk_read_bytes));
  }
  text += Wrapped(fmt::format("of {} tokens{}: some {:.2g} s, {:.0f} tokens/s", report.n_prompt,
                              reads, prompt.seconds(), report.n_prompt / prompt.seconds()),
                  "  a prompt  ", 12);
  if (report.start_seconds > 0) {
    text += Wrapped(
        fmt::format(
            "{} are read in {:.2g} s; the first token of such a prompt comes after {:.2g} s",
            Decimal(static_cast<double>(report.start_bytes)), report.start_seconds,
            report.start_seconds + report.first_prompt.seconds()),
        "  the start ", 12);
  }
  text += fmt::format("  measured  memory {:.1f} GB/s, disk {}\n", report.speed.memory / 1e9,
                      report.disk_not_measured.empty()
                          ? fmt::format("{:.2f} GB/s", report.speed.disk.sustained / 1e9)
                          : std::string("not measured"));
  return text;
}

std::string Rows(const PlanReport& report) {
  std::string text = report.n_experts == 0
                         ? "\n  --memory   weights in memory   read a token   tokens/s at most\n"
                         : "\n  --memory   experts in memory   missing a token   read a token   "
                           "tokens/s at most\n";
  for (const PlanRow& row : report.rows) {
    const bool is_dense = report.n_experts == 0;
    text += fmt::format("  {:<10} {:>15.1f} %{} {:>14} {:>18}   {}\n", EnoughFor(row.line_bytes),
                        100 * (is_dense ? row.kept_share : row.share),
                        is_dense ? "" : fmt::format(" {:>17.1f}", row.decode.misses),
                        row.decode.read_bytes == 0 ? "-" : Decimal(row.decode.read_bytes),
                        Rate(row.decode.seconds()), row.what);
  }
  return text;
}

}  // namespace

std::string PlanVerdict(const PlanReport& report) {
  if (!report.refusal.empty()) {
    return fmt::format("It does not fit; the smallest line that works is --memory {}.",
                       EnoughFor(report.landmarks.least));
  }
  const std::string rate = Rate(report.decode.seconds());
  if (report.division.residence == engine::Residence::kAll) {
    return fmt::format("Everything stays in memory: {} tokens/s at most.", rate);
  }
  const uint64_t more = report.landmarks.all - std::min(report.landmarks.all, report.line_bytes);
  return fmt::format(
      "Reads {} a token from the disk: {} tokens/s at most; {} more memory would "
      "hold everything.",
      Decimal(report.decode.read_bytes), rate, FormatBytes(more));
}

std::string PlanText(const PlanReport& report) {
  std::string text = Head(report);
  if (report.refusal.empty()) {
    text += Accounts(report) + Speeds(report);
  }
  text += Rows(report);
  if (!report.warnings.empty()) {
    text += "\n";
  }
  for (const std::string& warning : report.warnings) {
    text += Wrapped(warning, "  ! ", 4);
  }
  return TerminalSafe(text + "\n" + PlanVerdict(report) + "\n");
}

}  // namespace plimsoll::cli
