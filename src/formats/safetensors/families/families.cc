#include "formats/safetensors/families/families.h"

#include <algorithm>
#include <vector>

namespace plimsoll::formats::safetensors {
namespace {

std::vector<const Family*> ListFamilies() {
  std::vector<const Family*> all;
  for (const auto families :
       {LlamaFamilies(), Llama4Families(), QwenFamilies(), HybridQwenFamilies(), GraniteFamilies(),
        PhiFamilies(), DeepseekLikeFamilies(), GptOssFamilies(), Gemma3Families(),
        Gemma4Families()}) {
    all.insert(all.end(), families.begin(), families.end());
  }
  return all;
}

}  // namespace

std::span<const Family* const> AllFamilies() {
  static const std::vector<const Family*> kAll = ListFamilies();
  return kAll;
}

const Family* FindFamily(std::string_view hugging_face) {
  const auto all = AllFamilies();
  const auto found = std::ranges::find(all, hugging_face, &Family::hugging_face);
  return found == all.end() ? nullptr : *found;
}

}  // namespace plimsoll::formats::safetensors
