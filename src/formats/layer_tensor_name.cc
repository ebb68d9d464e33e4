#include "formats/layer_tensor_name.h"

#include <charconv>

namespace plimsoll::formats {

std::optional<LayerTensorName> ParseLayerTensorName(std::string_view name) {
  constexpr std::string_view kLayer = "blk.";
  if (!name.starts_with(kLayer)) {
    return std::nullopt;
  }
  const std::string_view numbered = name.substr(kLayer.size());
  LayerTensorName result;
  const auto [end, error] =
      std::from_chars(numbered.data(), numbered.data() + numbered.size(), result.layer_idx);
  const auto n_digits = static_cast<size_t>(end - numbered.data());
  if (error != std::errc() || n_digits == numbered.size() || numbered[n_digits] != '.') {
    return std::nullopt;
  }
  result.rest = numbered.substr(n_digits + 1);
  return result;
}

}  // namespace plimsoll::formats
