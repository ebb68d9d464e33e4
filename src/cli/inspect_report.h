// The two forms of what `plimsoll inspect` says.
#pragma once

#include <string>

#include "formats/catalogue.h"
#include "formats/summary.h"

namespace plimsoll::cli {

struct InspectReport {
  std::string path;
  const formats::Catalogue& catalogue;
  const formats::Summary& summary;
  bool with_tensors = false;

  // Aligned columns, ends in a newline.
  [[nodiscard]] std::string Text() const;
  // One line, see inspect.h.
  [[nodiscard]] std::string Json() const;
};

// "7.28 M", "1.44 G", "512".
[[nodiscard]] std::string FormatCount(uint64_t count);

}  // namespace plimsoll::cli
