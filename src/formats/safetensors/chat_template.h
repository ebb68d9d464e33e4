// Chat templates of Hugging Face folders.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "formats/metadata.h"

namespace plimsoll::formats::safetensors {

// Sets tokenizer.chat_template (and tokenizer.chat_template.NAME for named ones) from
// chat_template.jinja, which comes first, or tokenizer_config.json. Nothing when there is neither.
[[nodiscard]] Result<> ReadChatTemplate(const std::filesystem::path& folder, Metadata& metadata);

}  // namespace plimsoll::formats::safetensors
