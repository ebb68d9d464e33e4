// Hugging Face's tokenizer.json (the format of the `tokenizers` library) as a specification.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "text/vocabulary.h"

namespace plimsoll::text {

// The largest of today's files have 35 MB; parsing takes some ten times the file in memory.
inline constexpr uint64_t kMaxTokenizerJsonBytes = uint64_t{64} << 20;

// `config` is the tokenizer_config.json beside it, or empty: it names BOS and EOS and says whether
// they are added. Supported are the models BPE (byte-level, or over characters with byte fallback)
// and Unigram with the normalizers and pre-tokenizers that they come with. kBadModel names the
// field that is missing, wrong or not supported.
[[nodiscard]] Result<VocabularySpec> TokenizerJson(std::string_view json, std::string_view config);

}  // namespace plimsoll::text
