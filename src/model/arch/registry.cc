// Every supported architecture. A new one is a file beside this one and a line in it.
#include <algorithm>
#include <array>
#include <string>

#include "model/arch/shared.h"
#include "model/architecture.h"

namespace plimsoll::model {

std::span<const Architecture* const> AllArchitectures() {
  static constexpr auto kAll = std::to_array(
      {&kDeepseek2,  &kDots1,    &kGemma3, &kGemma4,    &kGlm4Moe,   &kGptOss,   &kGranite,
       &kGraniteMoe, &kLlama,    &kLlama4, &kMinimaxM2, &kMistral3,  &kOlmoe,    &kPhi3,
       &kQwen2,      &kQwen2Moe, &kQwen3,  &kQwen35,    &kQwen35Moe, &kQwen3Moe, &kQwen3Next});
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
    names += fmt::format("{}{}", names.empty() ? "" : ", ", architecture->name);
  }
  return Fail(ErrorKind::kBadModel, "the architecture \"{}\" is not supported; supported are {}",
              name, names);
}

Result<HyperParams> ReadHyperParams(const Architecture& architecture,
                                    const formats::Catalogue& catalogue) {
  auto hp = ReadHyperParams(catalogue);
  if (!hp) {
    return hp;
  }
  if (auto adjusted = architecture.adjust(catalogue.metadata, *hp); !adjusted) {
    return Forward(adjusted);
  }
  return hp;
}

}  // namespace plimsoll::model
