#include "engine/engine.h"
#include "engine/vocabulary_from_metadata.h"
#include "formats/catalogue.h"

namespace plimsoll::engine {

Result<std::unique_ptr<const text::Tokenizer>> LoadTokenizer(const std::filesystem::path& model) {
  auto catalogue = formats::OpenModel(model);
  if (!catalogue) {
    return Forward(catalogue);
  }
  auto spec = VocabularyFromMetadata(catalogue->metadata);
  if (!spec) {
    return Fail(spec.error().kind, "{}: {}", model.string(), spec.error().message);
  }
  auto tokenizer = text::Tokenizer::Create(std::move(*spec));
  if (!tokenizer) {
    return Fail(tokenizer.error().kind, "{}: {}", model.string(), tokenizer.error().message);
  }
  return tokenizer;
}

}  // namespace plimsoll::engine
