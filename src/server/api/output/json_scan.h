// Where a JSON value ends in a text that may not be whole yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::server::api::output {

struct JsonSpan {
  enum class State : uint8_t {
    kDone,  // the value is text[begin, end)
    kOpen,  // everything up to the text's end may become a value
    kBad,   // the byte at `end` cannot be there
  };
  State state = State::kBad;
  size_t end = 0;
};

// The value (RFC 8259) that begins at `begin`, without white space before it. A number that the
// text ends with is kOpen. Nested deeper than 128 levels: kBad.
[[nodiscard]] JsonSpan ScanJson(std::string_view text, size_t begin);

// The next position that is no white space.
[[nodiscard]] size_t SkipSpace(std::string_view text, size_t begin);

// What a JSON string, with its quotes, stands for; nothing when it is none.
[[nodiscard]] std::optional<std::string> UnquoteJson(std::string_view json);

// As a JSON string, with its quotes.
[[nodiscard]] std::string QuoteJson(std::string_view text);

// Whether all of `text`, but white space around it, is one JSON value; of an object when asked.
[[nodiscard]] bool IsJson(std::string_view text, bool object_only);

}  // namespace plimsoll::server::api::output
