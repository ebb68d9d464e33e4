#include "formats/store/places.h"

#include <cstdlib>
#include <system_error>

#include "io/file.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOllamaService = "/usr/share/ollama/.ollama/models";
constexpr uint64_t kPointerBytesMax = 4096;

std::optional<fs::path> Folder(const EnvironmentFn& environment, const char* name) {
  const auto value = environment(name);
  return value && !value->empty() ? std::optional<fs::path>(*value) : std::nullopt;
}

std::optional<fs::path> HuggingFacePlace(const EnvironmentFn& environment,
                                         const std::optional<fs::path>& home) {
  if (auto cache = Folder(environment, "HF_HUB_CACHE")) {
    return cache;
  }
  if (const auto hugging_face = Folder(environment, "HF_HOME")) {
    return *hugging_face / "hub";
  }
  if (const auto cache = Folder(environment, "XDG_CACHE_HOME")) {
    return *cache / "huggingface" / "hub";
  }
  return home ? std::optional(*home / ".cache" / "huggingface" / "hub") : std::nullopt;
}

// The home that LM Studio keeps in a file of one line, when it is a folder.
std::optional<fs::path> PointedAt(const fs::path& pointer) {
  auto text = io::ReadWhole(pointer, kPointerBytesMax);
  if (!text) {
    return std::nullopt;
  }
  const fs::path folder = text->substr(0, text->find_first_of("\r\n"));
  std::error_code error;
  return folder.is_absolute() && fs::is_directory(folder, error) ? std::optional(folder)
                                                                 : std::nullopt;
}

}  // namespace

Places PlacesOfUser(const EnvironmentFn& environment) {
  const auto home = Folder(environment, "HOME");
  Places places;
  places.hugging_face = HuggingFacePlace(environment, home);
  if (auto models = Folder(environment, "OLLAMA_MODELS")) {
    places.ollama.push_back(std::move(*models));
  } else {
    if (home) {
      places.ollama.push_back(*home / ".ollama" / "models");
    }
    places.ollama.emplace_back(kOllamaService);
  }
  if (home) {
    if (const auto pointed = PointedAt(*home / ".lmstudio-home-pointer")) {
      places.lm_studio.push_back(*pointed / "models");
    } else {
      places.lm_studio.push_back(*home / ".lmstudio" / "models");
      places.lm_studio.push_back(*home / ".cache" / "lm-studio" / "models");
    }
  }
  return places;
}

Places PlacesOfUser() {
  return PlacesOfUser([](const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

}  // namespace plimsoll::formats::store
