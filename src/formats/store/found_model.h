// Models that were found, and where was looked for them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::formats::store {

enum class Source { kFolder, kHuggingFace, kOllama, kLmStudio };

// "folder", "huggingface", "ollama", "lmstudio".
[[nodiscard]] std::string_view SourceName(Source source);

// Nothing of it was opened but small files of the stores: what the model's own files hold is not
// known yet.
struct FoundModel {
  Source source = Source::kFolder;
  std::string name;            // what FindModel takes: "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M"
  std::filesystem::path path;  // a file (a split's first part), or a folder of safetensors
  uint64_t bytes = 0;          // of all its files
  std::string type;            // of most of its weights, as names and stores tell: "Q4_K_M", "BF16"
  std::string problem;         // why it cannot be used; empty when nothing is known against it
  // Names that mean it as well, without its store's prefix. The second kind yields to the first
  // where both would fit: of several models of one repository, its bare name.
  std::vector<std::string> names;
  std::vector<std::string> loose_names;
};

struct SearchedPlace {
  enum class State { kSearched, kMissing, kUnreadable };

  Source source = Source::kFolder;
  std::filesystem::path path;
  State state = State::kSearched;
  std::string reason;  // of kUnreadable
  size_t n_models = 0;
};

struct Findings {
  std::vector<FoundModel> models;
  std::vector<SearchedPlace> places;
};

}  // namespace plimsoll::formats::store
