// plimsoll tokenize: text to token ids, and back.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>

#include "base/result.h"

namespace plimsoll::cli {

struct TokenizeOptions {
  std::optional<std::filesystem::path>
      model;                          // none: the bundled one. A vocabulary alone is enough
  std::optional<std::string> prompt;  // the text, or the ids; none: all of `in`
  bool decode = false;                // ids to text
  // Encoding: BOS before the ids, if the model has one. Decoding: a BOS that they begin with is
  // left out of the text.
  bool bos = false;
  bool parse_special = true;  // control tokens written in the text become those tokens
};

// Writes the ids on one line, separated by spaces; or, decoding ids that are separated by white
// space or commas, exactly the bytes that they stand for. kUsage names an id that is none of the
// model's.
[[nodiscard]] Result<> Tokenize(const TokenizeOptions& options, std::istream& in,
                                std::ostream& out);

}  // namespace plimsoll::cli
