// A model in another weight type: what was published in 16 bits or 32 becomes a file that takes a
// fraction of the room. Only a few megabytes of it are in memory at a time, and its bytes are the
// same whatever the number of threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/quantize_plan.h"
#include "formats/catalogue.h"

namespace plimsoll::engine {

struct QuantizedTensor {
  std::string name;
  tensor::Shape shape;
  tensor::DType from = tensor::DType::kF32;
  tensor::DType to = tensor::DType::kF32;
  uint64_t bytes = 0;
  // The root of the squared error's sum over that of the squared values'; 0 where nothing changed.
  double error = 0;
};

struct QuantizeModelOptions {
  std::filesystem::path model;                   // a GGUF, or a folder of safetensors
  std::filesystem::path output;                  // a GGUF
  QuantizePlanOptions plan;                      // its has_importance follows from imatrix
  std::optional<std::filesystem::path> imatrix;  // an importance matrix of the model
  bool replaces = false;                         // a file that is there under the output's name
  uint32_t n_threads = 0;                        // 0: one for each core
  std::function<void(uint64_t done, uint64_t total)> on_progress;  // bytes that were read
  std::function<bool()> is_stopped;
};

struct QuantizedModel {
  std::vector<QuantizedTensor> tensors;
  uint64_t bytes_before = 0;  // of the tensors
  uint64_t bytes = 0;         // of the tensors
  std::vector<formats::LeftOut> left_out;
};

// The output has its name when all of it is on the disk, and not before; else it is not there.
// kUsage as PlanQuantizedTypes, and for an output that is there already or that is the model.
// kBadModel for a value that is no number or too large for the type, for an importance matrix of
// another model, and for a folder of which no GGUF can be made: CheckRewrite, MetadataOfWhole.
// kInterrupted when it was stopped. kIo, also for want of room.
[[nodiscard]] Result<QuantizedModel> QuantizeModel(const QuantizeModelOptions& options);

}  // namespace plimsoll::engine
