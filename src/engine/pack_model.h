// Packing a model: from its path to the packed file beside it.
#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"
#include "formats/packed/packer.h"

namespace plimsoll::engine {

struct PackModelOptions {
  std::filesystem::path model;
  std::optional<std::filesystem::path> output;  // none: beside the model's first file
  bool anew = false;                            // also when it is packed already
  formats::packed::PackOptions pack;
};

struct PackedModel {
  std::filesystem::path path;
  bool was_there = false;  // it was packed already, and nothing was done
  uint32_t n_layers = 0;   // with experts
  uint32_t n_experts = 0;  // in all
  formats::packed::PackOutcome outcome;
};

// kUsage for a model without experts and for an output that is some other file; else as
// formats::packed::Pack.
[[nodiscard]] Result<PackedModel> PackModel(const PackModelOptions& options);

}  // namespace plimsoll::engine
