// Where a folder's tensors go in GGUF: by the family's rules, then by the names that all families
// share. Names after the tables of llama.cpp's gguf-py (gguf/tensor_mapping.py).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/safetensors/family.h"

namespace plimsoll::formats::safetensors {

struct Target {
  std::string name;                // "blk.3.ffn_up_exps.weight"
  std::optional<uint32_t> expert;  // this tensor is that expert's slice of it
  Change change = nullptr;
};

struct Placement {
  std::vector<Target> targets;
  // Not empty: the tensor is left out on purpose, being of this.
  std::string_view left_out;

  [[nodiscard]] bool is_known() const { return !targets.empty() || !left_out.empty(); }
};

// Layers from n_layers on predict further tokens.
[[nodiscard]] Placement Place(const Family& family, uint32_t n_layers, std::string_view name);

}  // namespace plimsoll::formats::safetensors
