#include "engine/rewrite_model.h"

#include <system_error>

#include "engine/vocabulary_from_metadata.h"
#include "engine/vocabulary_to_metadata.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "model/model.h"

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTokenizerFiles = "plimsoll.tokenizer_";

Result<> CheckTensors(const formats::Catalogue& catalogue) {
  const auto kernels = kernels::SelectKernelSet("");
  if (!kernels) {
    return tl::unexpected<Error>(kernels.error());
  }
  kernels::Team alone(1, {});
  const auto model = model::Model::Open(catalogue, alone, {.max_chunk = 1, .kernels = *kernels});
  return model ? Result<>() : tl::unexpected<Error>(model.error());
}

Result<> AddTokenizer(const formats::Catalogue& catalogue, formats::Metadata& metadata) {
  if (!catalogue.metadata.Has("plimsoll.tokenizer_json")) {
    return Fail(ErrorKind::kBadModel,
                "the folder has no tokenizer.json, which a GGUF's tokenizer is made of");
  }
  const auto spec = VocabularyFromMetadata(catalogue.metadata);
  if (!spec) {
    return tl::unexpected<Error>(spec.error());
  }
  const formats::TensorEntry* const embedding = catalogue.Find("token_embd.weight");
  return VocabularyToMetadata(*spec, embedding->shape.dims[1], metadata);
}

}  // namespace

Result<> CheckOutputIsNoPart(const formats::Catalogue& catalogue, const fs::path& output) {
  std::error_code ignored;
  for (const auto& file : catalogue.files) {
    if (fs::equivalent(file->path(), output, ignored)) {
      return Fail(ErrorKind::kUsage, "{} is the model itself; name another file to write",
                  output.string());
    }
  }
  return {};
}

Result<> CheckRewrite(const formats::Catalogue& catalogue, const fs::path& output, bool replaces) {
  if (auto other = CheckOutputIsNoPart(catalogue, output); !other) {
    return other;
  }
  std::error_code ignored;
  if (!replaces && fs::exists(output, ignored)) {
    return Fail(ErrorKind::kUsage, "{} is there already; --force replaces it", output.string());
  }
  return catalogue.is_from_folder ? CheckTensors(catalogue) : Result<>();
}

Result<formats::Metadata> MetadataOfWhole(const formats::Catalogue& catalogue) {
  formats::Metadata metadata;
  for (const std::string& key : catalogue.metadata.keys()) {
    if (!key.starts_with("split.") && !key.starts_with(kTokenizerFiles)) {
      metadata.Set(key, *catalogue.metadata.Find(key));
    }
  }
  if (catalogue.is_from_folder) {
    if (auto added = AddTokenizer(catalogue, metadata); !added) {
      return Forward(added);
    }
  }
  return metadata;
}

}  // namespace plimsoll::engine
