// A deterministic generator of GGUF models with random weights: for tests, for the comparison with
// other engines and for benchmarks where no trained model of a shape is at hand.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "tools/random_model/model_spec.h"

namespace plimsoll::random_model {

// Writes the model that `spec` describes. The bytes depend on the spec alone; a tensor's on its
// name, type, shape and the seed, so that a further layer leaves the others as they were. Memory
// stays under a few megabytes beside the vocabulary, whatever the size of the file.
// kUsage when the spec makes no model, kIo when the file cannot be written.
[[nodiscard]] Result<> WriteRandomModel(const ModelSpec& spec, const std::filesystem::path& path);

}  // namespace plimsoll::random_model
