// Where a user's models are: the stores of other programs, folders, and names given in settings.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace plimsoll::formats::store {

struct Places {
  std::optional<std::filesystem::path> hugging_face;  // the hub's cache: holds models--ORG--NAME
  std::vector<std::filesystem::path> ollama;          // each holds manifests/ and blobs/
  std::vector<std::filesystem::path> lm_studio;       // each holds PUBLISHER/MODEL/FILE
  std::vector<std::filesystem::path> folders;         // --models-dir
  // From config.toml: a short name, and the path or name that it stands for.
  std::map<std::string, std::string, std::less<>> aliases;
};

// The value of an environment variable, or nothing.
using EnvironmentFn = std::function<std::optional<std::string>(const char* name)>;

// Of the stores; neither folders nor aliases. Whether they are there is not looked at.
//   Hugging Face: $HF_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else
//     ~/.cache/huggingface/hub
//   Ollama: $OLLAMA_MODELS, else ~/.ollama/models and its service's
//     /usr/share/ollama/.ollama/models
//   LM Studio: models/ in the folder that ~/.lmstudio-home-pointer names, else in ~/.lmstudio and
//     in ~/.cache/lm-studio
[[nodiscard]] Places PlacesOfUser(const EnvironmentFn& environment);
[[nodiscard]] Places PlacesOfUser();  // of this process's environment

}  // namespace plimsoll::formats::store
