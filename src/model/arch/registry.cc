// Every supported architecture. A new one is a file beside this one and a line in it.
#include <algorithm>
#include <array>
#include <string>

#include "model/arch/llama.h"
#include "model/arch/olmoe.h"
#include "model/arch/qwen2.h"
#include "model/arch/qwen2moe.h"
#include "model/arch/qwen3.h"
#include "model/arch/qwen3moe.h"
#include "model/architecture.h"

namespace plimsoll::model {

std::span<const Architecture* const> AllArchitectures() {
  static const Llama kLlama;
  static const Olmoe kOlmoe;
  static const Qwen2 kQwen2;
  static const Qwen2Moe kQwen2Moe;
  static const Qwen3 kQwen3;
  static const Qwen3Moe kQwen3Moe;
  static const std::array<const Architecture*, 6> kAll = {&kLlama,    &kOlmoe, &kQwen2,
                                                          &kQwen2Moe, &kQwen3, &kQwen3Moe};
  return kAll;
}

Result<const Architecture*> FindArchitecture(std::string_view name) {
  const auto all = AllArchitectures();
  const auto it = std::ranges::find(all, name, &Architecture::name);
  if (it != all.end()) {
    return *it;
  }
  std::string names;
  for (const Architecture* architecture : all) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", architecture->name());
  }
  return Fail(ErrorKind::kBadModel, "the architecture \"{}\" is not supported; supported are {}",
              name, names);
}

}  // namespace plimsoll::model
