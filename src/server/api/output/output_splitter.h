// A model's text to content, reasoning and tool calls, as it streams.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "server/api/output/output_format.h"
#include "server/api/reply.h"
#include "server/api/task.h"

namespace plimsoll::server::api::output {

struct SplitterOptions {
  OutputFormat format;
  // Of the request; none: calls are not looked for, and only reasoning is split off. A call of
  // something else is content.
  std::vector<Tool> tools;
  bool starts_in_reasoning = false;  // EndsInReasoning(prompt)
  // Arguments leave as they come. If they then turn out to be no JSON, the rest of them follows as
  // it is. False: a call leaves as a whole, and one that is not well-formed is content.
  bool stream_arguments = true;
  // One call is wanted and nothing behind it: what follows is left out.
  bool one_call = false;
  uint32_t choice = 0;   // in all events
  uint64_t id_seed = 0;  // what the ids of the calls are made from; unlike for each choice
};

// Gives the events TextEvent, ReasoningEvent, ToolCallBegin, ToolCallArguments and ToolCallEnd. How
// the text is cut into calls changes how the events are cut and nothing else: their texts put
// together, their order and the calls are the same. Nothing of a mark goes out as text before it is
// certain that it is none. For one thread at a time.
//
//   OutputSplitter splitter(options);
//   splitter.Prime(ForcedOpening(...));   // if there is one
//   for (Event& event : splitter.Add(text, tokens)) writer.Write(event);
//   for (Event& event : splitter.Finish()) ...
//   finish = splitter.n_calls() > 0 ? Finish::kToolCalls : ...
class OutputSplitter {
 public:
  explicit OutputSplitter(SplitterOptions options);
  ~OutputSplitter();
  OutputSplitter(OutputSplitter&&) noexcept;
  OutputSplitter& operator=(OutputSplitter&&) noexcept;

  // Text that stands at the end of the prompt and begins the answer. Before any other.
  void Prime(std::string_view text);
  // `tokens` are those drawn since the last call, when logprobs were asked for: the text of all so
  // far is the text of all calls, perhaps with some bytes to come. Each leaves with the text
  // that its last byte belongs to; those of marks and calls do not.
  [[nodiscard]] std::vector<Event> Add(std::string_view text, std::vector<TokenReport> tokens = {});
  // What was held back. The generation is over.
  [[nodiscard]] std::vector<Event> Finish();

  [[nodiscard]] uint32_t n_calls() const;  // begun so far
  // The one call is there (SplitterOptions::one_call): further text does not matter.
  [[nodiscard]] bool done() const;
  // Whether the text so far ends within reasoning: a token drawn now is one of its tokens.
  [[nodiscard]] bool in_reasoning() const;

 private:
  class Splitter;
  class TagSplitter;
  class HarmonySplitter;
  std::unique_ptr<Splitter> splitter_;
};

}  // namespace plimsoll::server::api::output
