#include "server/api/output/output_splitter.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/rng.h"
#include "server/api/output/splitter.h"

namespace plimsoll::server::api::output {

OutputSplitter::OutputSplitter(SplitterOptions options) {
  if (options.format.tools == ToolSyntax::kHarmony) {
    splitter_ = std::make_unique<HarmonySplitter>(std::move(options));
  } else {
    splitter_ = std::make_unique<TagSplitter>(std::move(options));
  }
}

OutputSplitter::~OutputSplitter() = default;
OutputSplitter::OutputSplitter(OutputSplitter&&) noexcept = default;
OutputSplitter& OutputSplitter::operator=(OutputSplitter&&) noexcept = default;

void OutputSplitter::Prime(std::string_view text) { splitter_->held().AppendPrimed(text); }

std::vector<Event> OutputSplitter::Add(std::string_view text, std::vector<TokenReport> tokens) {
  splitter_->held().Append(text, std::move(tokens));
  return splitter_->Run(false);
}

std::vector<Event> OutputSplitter::Finish() { return splitter_->Run(true); }

uint32_t OutputSplitter::n_calls() const { return splitter_->n_calls(); }

bool OutputSplitter::done() const { return splitter_->done(); }

bool OutputSplitter::in_reasoning() const { return splitter_->in_reasoning(); }

OutputSplitter::Splitter::Splitter(SplitterOptions options) : options_(std::move(options)) {}

std::vector<Event> OutputSplitter::Splitter::Run(bool at_end) {
  while (!done_ && Step(at_end)) {
  }
  if (done_) {
    Drop(text().size());
  } else if (at_end) {
    CloseCalls();
    std::vector<TokenReport> tokens = held_.TakeTokens();
    if (!tokens.empty() && !in_reasoning() && n_calls_ == 0) {
      events_.push_back(
          TextEvent{.choice = options_.choice, .text = "", .tokens = std::move(tokens)});
    }
  }
  return std::exchange(events_, {});
}

void OutputSplitter::Splitter::Content(size_t n) {
  HeldText::Part part = held_.Take(n);
  if (part.text.empty() && part.tokens.empty()) return;
  events_.push_back(TextEvent{
      .choice = options_.choice, .text = std::move(part.text), .tokens = std::move(part.tokens)});
}

void OutputSplitter::Splitter::Reasoning(size_t n) {
  HeldText::Part part = held_.Take(n);
  if (part.text.empty()) return;
  events_.push_back(ReasoningEvent{
      .choice = options_.choice, .text = std::move(part.text), .tokens = std::move(part.tokens)});
}

void OutputSplitter::Splitter::BrokenArguments(size_t n) {
  HeldText::Part part = held_.Take(n);
  if (part.text.empty()) return;
  events_.push_back(ToolCallArguments{
      .choice = options_.choice, .index = n_calls_ - 1, .text = std::move(part.text)});
}

void OutputSplitter::Splitter::TellCalls(const std::vector<RegionCall>& calls) {
  for (uint32_t i = n_ended_; i < calls.size(); ++i) {
    const RegionCall& call = calls[i];
    if (!call.complete && !options_.stream_arguments) break;
    if (done_) break;
    if (i == n_begun_) {
      events_.push_back(ToolCallBegin{
          .choice = options_.choice, .index = n_calls_, .id = CallId(n_calls_), .name = call.name});
      ++n_begun_;
      ++n_calls_;
      n_arguments_ = 0;
    }
    if (call.arguments.size() > n_arguments_) {
      events_.push_back(ToolCallArguments{.choice = options_.choice,
                                          .index = n_calls_ - 1,
                                          .text = call.arguments.substr(n_arguments_)});
      n_arguments_ = call.arguments.size();
    }
    if (call.complete) {
      events_.push_back(ToolCallEnd{.choice = options_.choice, .index = n_calls_ - 1});
      ++n_ended_;
      done_ = options_.one_call;
    }
  }
}

void OutputSplitter::Splitter::CloseCalls() {
  if (has_open_call()) {
    events_.push_back(ToolCallEnd{.choice = options_.choice, .index = n_calls_ - 1});
  }
  n_begun_ = 0;
  n_ended_ = 0;
  n_parsed_ = 0;
}

bool OutputSplitter::Splitter::IsWorthParsing(size_t n_bytes, bool at_end) {
  constexpr size_t kShare = 64;
  if (!at_end && n_bytes < n_parsed_ + std::max<size_t>(1, n_parsed_ / kShare)) return false;
  n_parsed_ = n_bytes;
  return true;
}

// Mistral's templates take ids of nine letters and digits only; others take any.
std::string OutputSplitter::Splitter::CallId(uint32_t index) const {
  constexpr std::string_view kDigits =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const bool is_mistral = options_.format.tools == ToolSyntax::kMistral ||
                          options_.format.tools == ToolSyntax::kMistralArgs;
  std::string id = is_mistral ? "" : "call_";
  for (uint32_t i = 0; i < (is_mistral ? 9U : 24U); ++i) {
    const double uniform = UniformAt(options_.id_seed, i, index);
    id += kDigits[static_cast<size_t>(uniform * static_cast<double>(kDigits.size()))];
  }
  return id;
}

}  // namespace plimsoll::server::api::output
