#include "engine/pack_model.h"

#include "formats/packed/packed_file.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "model/model.h"
#include "model/packed_shapes.h"

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;
using formats::packed::PackedFile;

// The model's experts; nothing of it is loaded.
Result<std::vector<model::ExpertLayer>> FindExperts(const formats::Catalogue& catalogue,
                                                    std::unique_ptr<model::Model>& model,
                                                    kernels::Team& team) {
  const auto kernels = kernels::SelectKernelSet("");
  if (!kernels) {
    return tl::unexpected<Error>(kernels.error());
  }
  auto opened = model::Model::Open(catalogue, team, {.max_chunk = 1, .kernels = *kernels});
  if (!opened) {
    return Forward(opened);
  }
  model = *std::move(opened);
  return model->ExpertLayers();
}

void CountExperts(const std::vector<model::ExpertLayer>& layers, PackedModel& packed) {
  for (const model::ExpertLayer& layer : layers) {
    packed.n_layers += layer.n_experts > 0 ? 1 : 0;
    packed.n_experts += layer.n_experts;
  }
}

// True when the model's own packed file is there already. kUsage when something else is.
Result<bool> IsPacked(const fs::path& path, const formats::Catalogue& catalogue,
                      const std::vector<model::ExpertLayer>& layers) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return false;
  }
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  auto is_ours = formats::packed::HasMagic(**file);
  if (!is_ours) {
    return is_ours;
  }
  if (!*is_ours) {
    return Fail(ErrorKind::kUsage,
                "{} is there already and no packed file; it is left as it is. Name another with -o",
                path.string());
  }
  const auto packed = PackedFile::Open(*std::move(file));
  return packed && packed->MatchesSource(catalogue) &&
         packed->HasLayers(model::PackedShapes(layers));
}

}  // namespace

Result<PackedModel> PackModel(const PackModelOptions& options) {
  const auto catalogue = formats::OpenModel(options.model);
  if (!catalogue) {
    return tl::unexpected<Error>(catalogue.error());
  }
  kernels::Team team(1);
  std::unique_ptr<model::Model> model;
  const auto layers = FindExperts(*catalogue, model, team);
  if (!layers) {
    return tl::unexpected<Error>(layers.error());
  }
  PackedModel packed;
  CountExperts(*layers, packed);
  if (packed.n_experts == 0) {
    return Fail(ErrorKind::kUsage,
                "{} has no experts. A packed file holds experts one by one, so that those that a "
                "token needs can be read alone; every token reads all of this model, and packing "
                "would gain nothing",
                catalogue->files.front()->name());
  }
  packed.path =
      options.output.value_or(formats::packed::PathBeside(catalogue->files.front()->path()));
  const auto is_packed = IsPacked(packed.path, *catalogue, *layers);
  if (!is_packed) {
    return tl::unexpected<Error>(is_packed.error());
  }
  packed.was_there = *is_packed && !options.anew;
  if (packed.was_there) {
    return packed;
  }
  const auto outcome =
      formats::packed::Pack(*catalogue, model::PackedSources(*layers), packed.path, options.pack);
  if (!outcome) {
    return tl::unexpected<Error>(outcome.error());
  }
  packed.outcome = *outcome;
  return packed;
}

}  // namespace plimsoll::engine
