#include "formats/store/find_model.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/suggest.h"
#include "formats/escape.h"
#include "formats/gguf/split.h"
#include "formats/store/model_files.h"
#include "formats/store/scan.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamesShown = 8;

struct Prefix {
  std::string_view text;
  Source source;
};
constexpr std::array<Prefix, 3> kPrefixes = {{{"hf:", Source::kHuggingFace},
                                              {"ollama:", Source::kOllama},
                                              {"lmstudio:", Source::kLmStudio}}};

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::optional<Source> SourceOf(std::string_view& name) {
  for (const Prefix& prefix : kPrefixes) {
    if (name.starts_with(prefix.text)) {
      name.remove_prefix(prefix.text.size());
      return prefix.source;
    }
  }
  return std::nullopt;
}

Findings Search(const Places& places, std::optional<Source> only) {
  const auto wanted = [&](Source source) { return !only || *only == source; };
  Findings findings;
  for (const fs::path& folder : places.folders) {
    if (wanted(Source::kFolder)) {
      ScanFolder(folder, findings);
    }
  }
  if (places.hugging_face && wanted(Source::kHuggingFace)) {
    ScanHuggingFace(*places.hugging_face, findings);
  }
  for (const fs::path& store : places.ollama) {
    if (wanted(Source::kOllama)) {
      ScanOllama(store, findings);
    }
  }
  for (const fs::path& store : places.lm_studio) {
    if (wanted(Source::kLmStudio)) {
      ScanLmStudio(store, findings);
    }
  }
  return findings;
}

bool Contains(const std::vector<std::string>& names, const std::string& lower) {
  return std::ranges::any_of(names, [&](const std::string& name) { return Lower(name) == lower; });
}

std::vector<const FoundModel*> Matches(const Findings& findings, const std::string& lower,
                                       std::vector<std::string> FoundModel::*names) {
  std::vector<const FoundModel*> matches;
  for (const FoundModel& model : findings.models) {
    if (Contains(model.*names, lower)) {
      matches.push_back(&model);
    }
  }
  return matches;
}

bool IsSame(const FoundModel& a, const FoundModel& b) {
  std::error_code error;
  return a.path == b.path || fs::equivalent(a.path, b.path, error);
}

// Without those that cannot be used, if others can, and without second ways to one file.
std::vector<const FoundModel*> Choices(std::vector<const FoundModel*> matches) {
  const auto is_good = [](const FoundModel* model) { return model->problem.empty(); };
  if (std::ranges::any_of(matches, is_good)) {
    std::erase_if(matches, [&](const FoundModel* model) { return !is_good(model); });
  }
  std::vector<const FoundModel*> choices;
  for (const FoundModel* model : matches) {
    if (std::ranges::none_of(choices,
                             [&](const FoundModel* other) { return IsSame(*model, *other); })) {
      choices.push_back(model);
    }
  }
  return choices;
}

std::string PlaceText(const SearchedPlace& place) {
  std::string path = Escape(place.path.string(), 400);
  switch (place.state) {
    case SearchedPlace::State::kSearched:
      return fmt::format("{} ({})", path, place.n_models);
    case SearchedPlace::State::kMissing:
      return fmt::format("{} (not there)", path);
    case SearchedPlace::State::kUnreadable:
      return fmt::format("{} ({})", path, place.reason);
  }
  return path;
}

std::string PlacesText(const Findings& findings) {
  std::string text;
  for (const SearchedPlace& place : findings.places) {
    text += (text.empty() ? "" : ", ") + PlaceText(place);
  }
  return text.empty() ? "nowhere: no store is known" : text;
}

// The names, and parts of names, that `name` may be a slip for: as they would be given.
std::string NearMiss(std::string_view name, const Findings& findings, const Places& places) {
  std::vector<std::string> candidates;
  std::vector<std::string> given;
  const auto add = [&](const std::string& candidate, const std::string& as) {
    candidates.push_back(Lower(candidate));
    given.push_back(as);
  };
  for (const auto& [alias, target] : places.aliases) {
    add(alias, alias);
  }
  for (const FoundModel& model : findings.models) {
    for (const auto& names : {model.names, model.loose_names}) {
      for (const std::string& candidate : names) {
        add(candidate, model.name);
      }
    }
  }
  const auto suggestion = Suggest(Lower(name), candidates);
  if (!suggestion) {
    return {};
  }
  const auto at = std::ranges::find(candidates, *suggestion) - candidates.begin();
  return fmt::format(" Did you mean {}?", Escape(given[static_cast<size_t>(at)], 200));
}

tl::unexpected<Error> NotFound(std::string_view whole, std::string_view name,
                               const Findings& findings, const Places& places) {
  return Fail(ErrorKind::kIo,
              "there is no model \"{}\"{}.{}\nlooked in {}\n"
              "plimsoll list shows what there is; nothing is fetched from a network",
              Escape(whole, 200), whole == name ? ": neither a file nor a name" : "",
              NearMiss(name, findings, places), PlacesText(findings));
}

tl::unexpected<Error> Ambiguous(std::string_view whole,
                                const std::vector<const FoundModel*>& choices) {
  std::string names;
  for (size_t i = 0; i < std::min(choices.size(), kNamesShown); ++i) {
    names += fmt::format("{}{}", i == 0 ? "" : ", ", Escape(choices[i]->name, 200));
  }
  return Fail(ErrorKind::kUsage, "\"{}\" means {} models; name one of them:\n{}{}",
              Escape(whole, 200), choices.size(), names,
              choices.size() > kNamesShown ? ", … (plimsoll list)" : "");
}

Result<fs::path> FindByName(std::string_view whole, const Places& places) {
  std::string_view name = whole;
  const auto source = SourceOf(name);
  const Findings findings = Search(places, source);
  const std::string lower = Lower(name);
  auto choices = Choices(Matches(findings, lower, &FoundModel::names));
  if (choices.empty()) {
    choices = Choices(Matches(findings, lower, &FoundModel::loose_names));
  }
  if (choices.empty()) {
    return NotFound(whole, name, findings, places);
  }
  if (choices.size() > 1) {
    return Ambiguous(whole, choices);
  }
  const FoundModel& model = *choices.front();
  if (!model.problem.empty()) {
    return Fail(ErrorKind::kIo, "{} at {} cannot be used: {}\nfetch it again with what fetched it",
                Escape(model.name, 200), Escape(model.path.string(), 400),
                Escape(model.problem, 400));
  }
  return model.path;
}

// Paths that can be no name: a missing one is told without a search.
bool IsPathOnly(std::string_view name) {
  return name.starts_with('/') || name.starts_with("./") || name.starts_with("../") ||
         name.starts_with("~/");
}

Result<fs::path> MissingPath(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  if (fs::is_symlink(path, error)) {
    return Fail(ErrorKind::kIo, "cannot open {}: its link leads to nothing", path.string());
  }
  if (!fs::is_directory(folder, error)) {
    return Fail(ErrorKind::kIo, "cannot open {}: there is no folder {}", path.string(),
                folder.string());
  }
  const auto near = Suggest(path.filename().string(), NamesIn(folder));
  return Fail(ErrorKind::kIo, "cannot open {}: no such file or folder.{}", path.string(),
              near ? fmt::format(" Did you mean {}?", (folder / *near).string()) : "");
}

// The first part of a split, where it is beside the part that was given.
fs::path FirstPart(const fs::path& path) {
  const auto split = gguf::ParseSplitName(path.filename().string());
  if (!split || split->part == 1) {
    return path;
  }
  const fs::path first = path.parent_path() / split->FileName(1);
  std::error_code error;
  return fs::exists(first, error) ? first : path;
}

// A folder's one model in GGUF beside accessories; else the folder, which OpenModel judges.
fs::path InFolder(const fs::path& folder) {
  if (SafetensorsModelIn(folder, {})) {
    return folder;
  }
  const std::vector<ModelFiles> models = GgufModelsIn(folder, {});
  return models.size() == 1 ? models.front().path : folder;
}

Result<fs::path> FindUnaliased(std::string_view name, const Places& places) {
  std::string_view without_prefix = name;
  if (SourceOf(without_prefix)) {
    return FindByName(name, places);
  }
  const fs::path path = name;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) {
    return InFolder(path);
  }
  // Neither there nor surely missing, for want of permission: whoever opens it says so.
  if (fs::exists(status) || (error && status.type() != fs::file_type::not_found)) {
    return FirstPart(path);
  }
  return IsPathOnly(name) ? MissingPath(path) : FindByName(name, places);
}

}  // namespace

Findings ListModels(const Places& places) { return Search(places, std::nullopt); }

Result<fs::path> FindModel(std::string_view name, const Places& places) {
  const auto alias = places.aliases.find(name);
  if (alias == places.aliases.end()) {
    return FindUnaliased(name, places);
  }
  auto found = FindUnaliased(alias->second, places);
  if (!found) {
    return Fail(found.error().kind, "the alias {}: {}", Escape(name, 200), found.error().message);
  }
  return found;
}

}  // namespace plimsoll::formats::store
