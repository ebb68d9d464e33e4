// plimsoll inspect MODEL: what a model's files contain. Reads headers only.
#pragma once

#include <filesystem>
#include <ostream>

#include "base/result.h"

namespace plimsoll::cli {

struct InspectOptions {
  std::filesystem::path path;
  bool tensors = false;  // list every tensor too
  bool json = false;     // one JSON object instead of text
};

// Writes to `out` what OpenModel finds. Text from the files is shown with control characters
// escaped.
//
// The JSON object (schema_version 1): path, files [{name, bytes}], architecture, name, metadata
// {key: {type, value} or {type: "array", element_type, length, values: the first 64}}, kinds
// [{kind, tensors, parameters, bytes}], types [{type, tensors, parameters, bytes}], totals, experts
// {count, active}, output_is_tied, bytes_per_token {total, dense, output, experts, embedding_row}
// and, where asked for, tensors [{name, kind, type, shape, bytes, ranges [{file, offset, bytes}]}].
[[nodiscard]] Result<> Inspect(const InspectOptions& options, std::ostream& out);

}  // namespace plimsoll::cli
