// Holds a model to a well-formed tool call.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sampling/json_automaton.h"
#include "sampling/token_filter.h"
#include "server/api/output/output_format.h"
#include "text/tokenizer.h"

namespace plimsoll::server::api::output {

// Begins behind ForcedOpening. The arguments are an object with properties that the tool has, each
// at most once and of its type, as far as the value's first byte tells; those required are there.
// When the call is closed nothing but the end of the answer may follow.
class CallFilter final : public sampling::TokenFilter {
 public:
  // `tokenizer` outlives it. `shows_control`: control tokens are part of the text.
  CallFilter(const text::Tokenizer& tokenizer, CallGrammar grammar, bool shows_control);

  [[nodiscard]] bool Allows(TokenId token) override;
  [[nodiscard]] Result<std::span<const uint64_t>> Mask() override;
  [[nodiscard]] bool IsOver() const override { return place_.part == Part::kOver; }
  void Accept(TokenId token) override;

 private:
  enum class Part { kName, kBridge, kArguments, kClosing, kOver };
  struct Place {
    Part part = Part::kName;
    std::string name;                 // so far
    size_t n = 0;                     // bytes of the bridge or the closing
    const ToolShape* tool = nullptr;  // from the arguments on
    sampling::JsonAutomaton arguments;
    std::string key;            // so far
    std::vector<bool> is_used;  // of the tool's properties
    char value_type = '\0';     // first letter of the type that the value to come must have
  };

  [[nodiscard]] bool Take(Place& place, std::string_view text) const;
  [[nodiscard]] bool TakeByte(Place& place, char byte) const;
  [[nodiscard]] bool TakeNameByte(Place& place, char byte) const;
  [[nodiscard]] bool TakeArgumentsByte(Place& place, char byte) const;
  [[nodiscard]] bool TakeKeyByte(Place& place, char byte, bool was_in_key) const;
  void EnterArguments(Place& place, const ToolShape& tool) const;

  const text::Tokenizer& tokenizer_;
  const CallGrammar grammar_;
  const bool shows_control_;
  Place place_;
  std::vector<uint64_t> mask_;
};

}  // namespace plimsoll::server::api::output
