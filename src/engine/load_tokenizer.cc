#include <utility>

#include "engine/bundled_model.h"
#include "engine/engine.h"
#include "engine/vocabulary_from_metadata.h"
#include "formats/catalogue.h"
#include "formats/gguf/reader.h"

namespace plimsoll::engine {
namespace {

Result<formats::Catalogue> OpenModelOrBundled(const std::optional<std::filesystem::path>& model) {
  if (model) {
    return formats::OpenModel(*model);
  }
  auto bundled = OpenBundledModel();
  if (!bundled) {
    return Forward(bundled);
  }
  return formats::gguf::Read(std::move(*bundled));
}

}  // namespace

Result<std::unique_ptr<const text::Tokenizer>> LoadTokenizer(
    const std::optional<std::filesystem::path>& model) {
  const std::string name = model ? model->string() : BundledModelName();
  auto catalogue = OpenModelOrBundled(model);
  if (!catalogue) {
    return Forward(catalogue);
  }
  auto spec = VocabularyFromMetadata(catalogue->metadata);
  if (!spec) {
    return Fail(spec.error().kind, "{}: {}", name, spec.error().message);
  }
  auto tokenizer = text::Tokenizer::Create(std::move(*spec));
  if (!tokenizer) {
    return Fail(tokenizer.error().kind, "{}: {}", name, tokenizer.error().message);
  }
  return tokenizer;
}

}  // namespace plimsoll::engine
