// Tool calls in a part of a model's text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/output/output_format.h"
#include "server/api/task.h"

namespace plimsoll::server::api::output {

struct RegionCall {
  std::string name;       // of one of the tools
  std::string arguments;  // JSON: an object, or when it is not complete the beginning of one
  bool complete = false;
};

// What a text that begins with an opening mark turns out to be. A longer text of the same beginning
// gives the same calls and perhaps more, and its last call's arguments begin with these.
struct Region {
  enum class State : uint8_t {
    kOpen,    // more text will tell
    kDone,    // the calls, all complete, are text[0, end)
    kFailed,  // so far for the complete calls: text[0, end), 0 without any
  };
  State state = State::kFailed;
  std::vector<RegionCall> calls;  // only the last one may be incomplete
  size_t end = 0;
  // Where what `arguments` of an incomplete call were read from ends.
  size_t arguments_end = 0;
};

// The marks that calls of a family begin with.
[[nodiscard]] std::span<const std::string_view> CallOpeners(ToolSyntax syntax);
// Llama's may begin without one, with this, at the beginning of the answer only; "" for others.
[[nodiscard]] std::string_view BareCall(ToolSyntax syntax);
// The marks that end a single call, for one whose arguments are broken.
[[nodiscard]] std::span<const std::string_view> CallClosers(ToolSyntax syntax);

// Reads the calls that `text` begins with; it starts with one of the openers. A call whose name is
// none of the tools' makes it fail. `at_end`: no more text comes; the state is then not kOpen.
[[nodiscard]] Region ParseRegion(ToolSyntax syntax, std::span<const Tool> tools,
                                 std::string_view text, bool at_end);

// The same of arguments alone, of a call of this name.
[[nodiscard]] Region ParseArguments(std::string_view name, std::string_view text, bool at_end);

}  // namespace plimsoll::server::api::output
