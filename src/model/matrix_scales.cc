#include "model/matrix_scales.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plimsoll::model {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kScale = ".scale";

bool IsDeclared(const Declarations& declarations, std::string_view name) {
  return std::ranges::find(declarations.all(), name, &Declaration::name) !=
         declarations.all().end();
}

}  // namespace

void MatrixScales::Declare(const formats::Catalogue& catalogue, Declarations& declarations) {
  struct Found {
    std::string name;
    uint64_t n;  // matrices
    tensor::Matrix* matrix;
  };
  std::vector<Found> found;
  for (const Declaration& declaration : declarations.all()) {
    std::string name = declaration.name;
    tensor::Matrix* const matrix = TargetOf(declaration);
    if (matrix == nullptr || !name.ends_with(kWeight)) {
      continue;
    }
    name.replace(name.size() - kWeight.size(), kWeight.size(), kScale);
    if (catalogue.Find(name) != nullptr && !IsDeclared(declarations, name)) {
      const uint64_t n = declaration.shapes[0].dims[2];
      found.push_back({std::move(name), n, matrix});
    }
  }
  for (Found& scale : found) {
    all_.push_back({scale.matrix, {}});
    declarations.AddVector(std::move(scale.name), {scale.n}, all_.back().values);
  }
}

void MatrixScales::Attach() const {
  for (const Scale& scale : all_) {
    scale.matrix->scale = scale.values.data();
  }
}

}  // namespace plimsoll::model
