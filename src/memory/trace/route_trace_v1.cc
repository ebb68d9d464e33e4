#include <array>
#include <optional>

#include "memory/trace/fields.h"
#include "memory/trace/text_traces.h"
#include "memory/trace/trace_builder.h"

namespace plimsoll::memory::trace {
namespace {

using policy::Phase;

constexpr std::string_view kFirstLine = "# route_trace v1";
constexpr std::string_view kColumns =
    "turn,phase,step,layer,slot,expert,weight,residency,expert_bytes";

// The value of "key=" in a comment; values end at a blank.
std::optional<std::string_view> Value(std::string_view comment, std::string_view key) {
  while (!comment.empty()) {
    std::string_view field = CutAt(comment, ' ');
    if (field.starts_with(key) && field.substr(key.size()).starts_with('=')) {
      return field.substr(key.size() + 1);
    }
  }
  return std::nullopt;
}

struct Line {
  uint32_t turn = 0;
  uint32_t phase = 0;
  uint32_t step = 0;
  uint32_t layer = 0;
  Choice choice;
};

std::optional<Line> ParseLine(std::string_view text) {
  std::array<std::string_view, 9> fields;
  for (std::string_view& field : fields) {
    field = CutAt(text, ',');
  }
  const auto turn = ParseNumber<uint32_t>(fields[0]);
  const auto phase = ParseNumber<uint32_t>(fields[1]);
  const auto step = ParseNumber<uint32_t>(fields[2]);
  const auto layer = ParseNumber<uint32_t>(fields[3]);
  const auto expert = ParseNumber<uint32_t>(fields[5]);
  const auto weight = ParseNumber<float>(fields[6]);
  if (!turn || !phase || *phase > 1 || !step || !layer || !expert || !weight || !text.empty()) {
    return std::nullopt;
  }
  return Line{*turn, *phase, *step, *layer, {*expert, *weight}};
}

class Parser {
 public:
  [[nodiscard]] Complaint Comment(std::string_view line) {
    Trace& trace = builder_.trace();
    if (const auto model = Value(line, "model")) {
      trace.model = *model;
    }
    if (const auto architecture = Value(line, "arch")) {
      trace.architecture = *architecture;
    }
    const auto n_layers = Value(line, "n_layer");
    const auto n_experts = Value(line, "n_expert");
    if (n_layers && n_experts) {
      const auto layers = ParseNumber<uint32_t>(*n_layers);
      const auto experts = ParseNumber<uint32_t>(*n_experts);
      if (!layers || !experts || *layers > kLayersMax || *experts > kExpertsMax) {
        return fmt::format("n_layer and n_expert are not numbers up to {} and {}", kLayersMax,
                           kExpertsMax);
      }
      return builder_.SetLayers(std::vector<TraceLayer>(*layers, {*experts, 0, 0, 0}));
    }
    const auto layer = Value(line, "layer");
    const auto bytes = Value(line, "expert_bytes");
    const auto index = layer ? ParseNumber<uint32_t>(*layer) : std::nullopt;
    if (index && *index < trace.layers.size() && bytes) {
      trace.layers[*index].expert_bytes = ParseNumber<uint64_t>(*bytes).value_or(0);
    }
    return {};
  }

  [[nodiscard]] Complaint Record(std::string_view text, uint64_t number) {
    const auto line = ParseLine(text);
    if (!line) {
      return fmt::format("not a row of {}", kColumns);
    }
    if (!first_ && SameToken(*line)) {
      ranked_.push_back(line->choice);
      return {};
    }
    if (Complaint complaint = EndToken(); !complaint.empty()) {
      return complaint;
    }
    if (first_ || line->turn != last_.turn || line->phase != last_.phase ||
        (line->phase == 1 && line->step != last_.step)) {
      pass_ += first_ ? 0 : 1;
      first_step_ = line->step;
    }
    first_ = false;
    last_ = *line;
    ranked_.assign(1, line->choice);
    token_line_ = number;
    return {};
  }

  [[nodiscard]] Complaint EndToken() {
    if (ranked_.empty()) {
      return {};
    }
    const TokenRow row = {pass_, last_.layer,
                          last_.step < first_step_ ? 0 : last_.step - first_step_,
                          last_.phase == 0 ? Phase::kPrefill : Phase::kDecode};
    Complaint complaint = builder_.AddRow(row, ranked_, ranked_.size());
    ranked_.clear();
    return complaint.empty()
               ? complaint
               : fmt::format("the token that begins in line {}: {}", token_line_, complaint);
  }

  [[nodiscard]] TraceBuilder& builder() { return builder_; }

 private:
  [[nodiscard]] bool SameToken(const Line& line) const {
    return line.turn == last_.turn && line.phase == last_.phase && line.step == last_.step &&
           line.layer == last_.layer;
  }

  TraceBuilder builder_;
  std::vector<Choice> ranked_;  // of the token that is being read
  Line last_;
  uint64_t token_line_ = 0;
  uint32_t pass_ = 0;
  uint32_t first_step_ = 0;  // of the pass
  bool first_ = true;
};

}  // namespace

bool LooksLikeRouteTraceV1(std::string_view text) { return text.starts_with(kFirstLine); }

Result<Trace> ParseRouteTraceV1(std::string_view text, std::string_view name) {
  Parser parser;
  uint64_t number = 0;
  const auto fail = [&](const Complaint& complaint) {
    return Fail(ErrorKind::kFailed, "{}, line {}: {}", name, number, complaint);
  };
  bool header = false;
  while (!text.empty()) {
    const std::string_view line = CutLine(text);
    ++number;
    Complaint complaint;
    if (line.starts_with('#')) {
      complaint = header ? "" : parser.Comment(line.substr(1));
    } else if (!header) {
      header = true;
      complaint = line == kColumns ? "" : fmt::format("the columns are not {}", kColumns);
    } else if (!line.empty()) {
      complaint = parser.Record(line, number);
    }
    if (!complaint.empty()) {
      return fail(complaint);
    }
  }
  Complaint complaint = parser.EndToken();
  if (complaint.empty()) {
    complaint = parser.builder().Finish();
  }
  if (!complaint.empty()) {
    return Fail(ErrorKind::kFailed, "{}: {}", name, complaint);
  }
  return std::move(parser.builder().trace());
}

}  // namespace plimsoll::memory::trace
