#include "formats/safetensors/chat_template.h"

#include <string>
#include <system_error>

#include "base/bytes.h"
#include "formats/json_document.h"
#include "io/file.h"

namespace plimsoll::formats::safetensors {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxBytes = 4 * kMiB;
constexpr std::string_view kKey = "tokenizer.chat_template";

// [{"name": "default", "template": "…"}, …]
Result<> ReadNamed(const JsonObject& config, simdjson::dom::array templates, Metadata& metadata) {
  for (const simdjson::dom::element item : templates) {
    simdjson::dom::object object;
    if (item.get_object().get(object) != simdjson::SUCCESS) {
      return config.Bad("chat_template", "expected a string or a list of named templates");
    }
    const JsonObject entry("chat_template", object);
    auto name = entry.String("name");
    auto text = entry.String("template");
    if (!name || !text || !*name || !*text) {
      return config.Bad("chat_template", "expected a name and a template in each entry");
    }
    metadata.SetString(**name == "default" ? std::string(kKey) : fmt::format("{}.{}", kKey, **name),
                       **std::move(text));
  }
  return {};
}

Result<> ReadTokenizerConfig(const fs::path& path, Metadata& metadata) {
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  auto document = JsonDocument::Parse(**file, kMaxBytes);
  if (!document) {
    return Forward(document);
  }
  const JsonObject& config = document->root();
  simdjson::dom::array templates;
  if (config.raw().at_key("chat_template").get_array().get(templates) == simdjson::SUCCESS) {
    return ReadNamed(config, templates, metadata);
  }
  auto text = config.String("chat_template");
  if (!text) {
    return Forward(text);
  }
  if (*text) {
    metadata.SetString(std::string(kKey), **std::move(text));
  }
  return {};
}

}  // namespace

Result<> ReadChatTemplate(const fs::path& folder, Metadata& metadata) {
  std::error_code error;
  const fs::path jinja = folder / "chat_template.jinja";
  const fs::path config = folder / "tokenizer_config.json";
  if (fs::exists(config, error)) {
    auto read = ReadTokenizerConfig(config, metadata);
    if (!read) {
      return read;
    }
  }
  if (fs::exists(jinja, error)) {
    auto text = io::ReadWhole(jinja, kMaxBytes);
    if (!text) {
      return Forward(text);
    }
    metadata.SetString(std::string(kKey), *std::move(text));
  }
  return {};
}

}  // namespace plimsoll::formats::safetensors
