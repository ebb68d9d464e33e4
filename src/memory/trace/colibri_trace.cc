#include <optional>

#include "memory/trace/fields.h"
#include "memory/trace/text_traces.h"
#include "memory/trace/trace_builder.h"

namespace plimsoll::memory::trace {
namespace {

using policy::Phase;

struct ColibriLine {
  uint32_t call = 0;
  uint32_t row = 0;
  uint32_t layer = 0;
};

// Leaves the ranking in `ranked`.
std::optional<ColibriLine> ParseColibriLine(std::string_view text, std::vector<Choice>& ranked) {
  const auto call = ParseNumber<uint32_t>(CutAt(text, ' '));
  const auto row = ParseNumber<uint32_t>(CutAt(text, ' '));
  const auto layer = ParseNumber<uint32_t>(CutAt(text, ' '));
  if (!call || !row || !layer) {
    return std::nullopt;
  }
  ranked.clear();
  while (!text.empty()) {
    std::string_view field = CutAt(text, ' ');
    if (field.empty()) {
      continue;
    }
    const auto expert = ParseNumber<uint32_t>(CutAt(field, ':'));
    const auto gate = ParseNumber<float>(field);
    if (!expert || !gate) {
      return std::nullopt;
    }
    ranked.push_back({*expert, *gate});
  }
  return ColibriLine{*call, *row, *layer};
}

// A pass with a call of several rows is a prompt.
void MarkPrompts(Trace& trace) {
  const std::span<Visit> visits = trace.visits;
  for (size_t begin = 0; begin < visits.size();) {
    size_t end = begin;
    bool prompt = false;
    for (; end < visits.size() && visits[end].pass == visits[begin].pass; ++end) {
      prompt = prompt || visits[end].n_tokens > 1;
    }
    for (Visit& visit : visits.subspan(begin, end - begin)) {
      visit.phase = prompt ? Phase::kPrefill : Phase::kDecode;
    }
    begin = end;
  }
}

}  // namespace

Result<Trace> ParseColibriRouteTrace(std::string_view text, std::string_view name) {
  TraceBuilder builder;
  std::vector<Choice> ranked;
  std::optional<ColibriLine> last;
  uint32_t pass = 0;
  for (uint64_t number = 1; !text.empty(); ++number) {
    const std::string_view line_text = CutLine(text);
    if (line_text.empty()) {
      continue;
    }
    const auto line = ParseColibriLine(line_text, ranked);
    if (!line) {
      return Fail(ErrorKind::kFailed,
                  "{}, line {}: neither a trace of Plimsoll, nor route_trace v1, nor a line "
                  "CALL ROW LAYER EXPERT:GATE ... of ROUTE_TRACE",
                  name, number);
    }
    // The layers of a pass ascend.
    if (last && line->call != last->call && line->layer <= last->layer) {
      ++pass;
    }
    const TokenRow row = {pass, line->layer, line->row, Phase::kDecode};
    if (const Complaint complaint = builder.AddRow(row, ranked, ranked.size());
        !complaint.empty()) {
      return Fail(ErrorKind::kFailed, "{}, line {}: {}", name, number, complaint);
    }
    last = line;
  }
  if (const Complaint complaint = builder.Finish(); !complaint.empty()) {
    return Fail(ErrorKind::kFailed, "{}: {}", name, complaint);
  }
  MarkPrompts(builder.trace());
  return std::move(builder.trace());
}

}  // namespace plimsoll::memory::trace
