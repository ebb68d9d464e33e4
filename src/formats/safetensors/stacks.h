// Puts tensors of Hugging Face's layout into a catalogue.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "formats/safetensors/config.h"
#include "formats/safetensors/matrix_conversion.h"
#include "formats/safetensors/tensor_names.h"

namespace plimsoll::formats::safetensors {

// Collects tensors in any order; an expert's matrices wait until all of their stack are there, and
// blocks of few bits for their scales. `config` outlives the collector.
class TensorCollector {
 public:
  explicit TensorCollector(const Config& config) : config_(config) {}

  // kBadModel for a name of no known layout.
  [[nodiscard]] Result<> Add(RawTensor tensor, uint32_t file_idx, const std::string& file_name);
  // Moves everything into `catalogue`, and what the configuration has beside it. kBadModel for a
  // tensor that is there twice, a stack that has not a matrix of one type and shape for each of the
  // experts, a shape or type that nothing can be made of, and scales that are missing.
  [[nodiscard]] Result<> Finish(Catalogue& catalogue);

 private:
  // A tensor of GGUF's and what it is made of: a stack's slices by expert, any other under 0.
  struct Collected {
    bool is_stack = false;
    Change change = nullptr;
    std::map<uint32_t, StoredTensor> slices;
  };

  void LeaveOut(std::string_view what, const RawTensor& tensor);
  [[nodiscard]] Result<TensorEntry> Build(const std::string& name, const Collected& from) const;
  [[nodiscard]] Result<> CheckSlices(const std::string& name, const Collected& from) const;
  [[nodiscard]] Result<TensorEntry> BuildMatrices(const std::string& name,
                                                  const Collected& from) const;
  [[nodiscard]] Result<TensorEntry> BuildMxfp4(const std::string& name,
                                               const Collected& from) const;
  [[nodiscard]] Result<StoredMatrices> WithScales(const StoredTensor& stored,
                                                  StoredStack& stack) const;

  const Config& config_;
  std::map<std::string, Collected> by_name_;
  std::vector<std::string> order_;
  std::map<std::string, StoredTensor, std::less<>> scales_;  // by the name of what they scale
  std::vector<LeftOut> left_out_;
};

}  // namespace plimsoll::formats::safetensors
