#include <utility>

#include "engine/bundled_model.h"
#include "engine/engine.h"
#include "engine/vocabulary_from_metadata.h"

namespace plimsoll::engine {

Result<std::unique_ptr<const text::Tokenizer>> LoadTokenizer(
    const std::optional<std::filesystem::path>& model) {
  const std::string name = model ? model->string() : BundledModelName();
  auto catalogue = OpenCatalogue(model);
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
