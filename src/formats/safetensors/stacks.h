// Puts tensors of Hugging Face's layout into a catalogue.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "formats/safetensors/header.h"

namespace plimsoll::formats::safetensors {

// Collects tensors in any order; an expert's matrices wait until all of their stack are there.
class TensorCollector {
 public:
  // kBadModel for a name of no known layout or one that is there twice.
  [[nodiscard]] Result<> Add(const RawTensor& tensor, uint32_t file_idx,
                             const std::string& file_name);
  // Moves everything into `catalogue`. kBadModel when a stack has not `n_experts` matrices of one
  // type and shape.
  [[nodiscard]] Result<> Finish(uint32_t n_experts, Catalogue& catalogue);

 private:
  struct Slice {
    RawTensor tensor;
    uint32_t file_idx = 0;
  };
  // By GGUF name; a stack's slices by expert, any other tensor under expert 0.
  struct Collected {
    bool is_stack = false;
    std::map<uint32_t, Slice> slices;
  };

  [[nodiscard]] static Result<TensorEntry> Build(const std::string& name, const Collected& from,
                                                 uint32_t n_experts);

  std::map<std::string, Collected> by_name_;
  std::vector<std::string> order_;
};

}  // namespace plimsoll::formats::safetensors
