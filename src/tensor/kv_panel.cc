#include "tensor/kv_panel.h"

#include <array>
#include <utility>

namespace plimsoll::tensor {
namespace {

constexpr std::array<std::pair<std::string_view, KvType>, 6> kKvTypeNames = {{
    {"f16", KvType::kF16},
    {"bf16", KvType::kBF16},
    {"q8", KvType::kQ8},
    {"q4", KvType::kQ4},
    {"q8_0", KvType::kQ8},
    {"q4_0", KvType::kQ4},
}};

}  // namespace

std::string_view NameOf(KvType type) {
  for (const auto& [name, named] : kKvTypeNames) {
    if (named == type) {
      return name;
    }
  }
  return {};
}

std::optional<KvType> KvTypeOf(std::string_view name) {
  for (const auto& [known, type] : kKvTypeNames) {
    if (known == name) {
      return type;
    }
  }
  return std::nullopt;
}

}  // namespace plimsoll::tensor
