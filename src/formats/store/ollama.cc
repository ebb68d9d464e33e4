#include <algorithm>
#include <cctype>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "formats/escape.h"
#include "formats/json_document.h"
#include "formats/store/model_files.h"
#include "formats/store/scan.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kManifestBytesMax = 1 << 20;
constexpr std::string_view kModelLayer = "application/vnd.ollama.image.model";
constexpr std::string_view kDefaultHost = "registry.ollama.ai";
constexpr std::string_view kDefaultNamespace = "library";
constexpr std::string_view kDefaultTag = "latest";

struct Store {
  fs::path folder;
  std::vector<fs::path> roots;  // where its files may lie: in itself
};

struct ManifestName {
  std::string host;
  std::string space;
  std::string name;
  std::string tag;
};

// The blob that "sha256:HEX" names. Nothing else is ever made a path of.
std::optional<fs::path> BlobPath(const Store& store, std::string_view digest) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!digest.starts_with(kPrefix)) {
    return std::nullopt;
  }
  digest.remove_prefix(kPrefix.size());
  const bool is_hex =
      std::ranges::all_of(digest, [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (digest.size() != 64 || !is_hex) {
    return std::nullopt;
  }
  return store.folder / "blobs" / fmt::format("sha256-{}", digest);
}

Result<JsonDocument> ReadJson(const fs::path& path, const Store& store) {
  if (const auto probed = ProbeFile(path, store.roots); !probed) {
    return Fail(ErrorKind::kIo, "{}", probed.error());
  }
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  return JsonDocument::Parse(**file, kManifestBytesMax);
}

struct Layer {
  std::string digest;
  std::optional<uint64_t> size;
};

std::optional<Layer> LayerOf(simdjson::dom::object object) {
  std::string_view digest;
  if (object["digest"].get(digest) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  Layer layer = {.digest = std::string(digest), .size = {}};
  uint64_t size = 0;
  if (object["size"].get(size) == simdjson::SUCCESS) {
    layer.size = size;
  }
  return layer;
}

// Those with the model itself: one, in a manifest of a model in GGUF.
std::vector<Layer> ModelLayers(const JsonObject& manifest) {
  std::vector<Layer> found;
  simdjson::dom::array layers;
  if (manifest.raw()["layers"].get(layers) != simdjson::SUCCESS) {
    return found;
  }
  for (const simdjson::dom::element element : layers) {
    simdjson::dom::object object;
    std::string_view type;
    if (element.get(object) != simdjson::SUCCESS ||
        object["mediaType"].get(type) != simdjson::SUCCESS || type != kModelLayer) {
      continue;
    }
    if (auto layer = LayerOf(object)) {
      found.push_back(std::move(*layer));
    }
  }
  return found;
}

// The quantization that the manifest's config names; "" when it does not.
std::string TypeOf(const JsonObject& manifest, const Store& store) {
  simdjson::dom::object object;
  if (manifest.raw()["config"].get(object) != simdjson::SUCCESS) {
    return {};
  }
  const auto layer = LayerOf(object);
  const auto path = layer ? BlobPath(store, layer->digest) : std::nullopt;
  const auto config =
      path ? ReadJson(*path, store) : Result<JsonDocument>(Fail(ErrorKind::kIo, ""));
  if (!config) {
    return {};
  }
  const auto type = config->root().String("file_type");
  return type && *type && (*type)->size() <= 32 ? **type : std::string();
}

void TakeLayer(const Layer& layer, const Store& store, FoundModel& model) {
  const auto blob = BlobPath(store, layer.digest);
  if (!blob) {
    model.problem = fmt::format("its manifest's digest \"{}\" is none", Escape(layer.digest, 80));
    return;
  }
  model.path = *blob;
  const auto size = ProbeFile(*blob, store.roots);
  if (!size) {
    model.problem = fmt::format("its blob {}: {}", blob->filename().string(), size.error());
    return;
  }
  model.bytes = *size;
  if (layer.size && *layer.size != *size) {
    model.problem = fmt::format("incomplete: {} of its {} bytes are there", *size, *layer.size);
  }
}

void Name(const ManifestName& manifest, FoundModel& model) {
  const std::string in_space = manifest.space + "/" + manifest.name;
  const std::string in_host = manifest.host + "/" + in_space;
  const bool own_host = manifest.host == kDefaultHost;
  const bool own_space = own_host && manifest.space == kDefaultNamespace;
  const std::string& shortest = own_space ? manifest.name : own_host ? in_space : in_host;
  model.name = fmt::format("ollama:{}:{}", shortest, manifest.tag);
  for (const std::string& name : {shortest, own_host ? in_space : in_host, in_host}) {
    model.names.push_back(name + ":" + manifest.tag);
    (manifest.tag == kDefaultTag ? model.names : model.loose_names).push_back(name);
  }
  model.loose_names.push_back(manifest.name + ":" + manifest.tag);
  model.loose_names.push_back(manifest.name);
}

FoundModel ReadManifest(const fs::path& path, const ManifestName& name, const Store& store) {
  FoundModel model;
  model.source = Source::kOllama;
  model.path = path;
  Name(name, model);
  const auto manifest = ReadJson(path, store);
  if (!manifest) {
    model.problem = "its manifest: " + manifest.error().message;
    return model;
  }
  const std::vector<Layer> layers = ModelLayers(manifest->root());
  if (layers.size() != 1) {
    model.problem = layers.empty() ? "its manifest names no model in GGUF"
                                   : fmt::format("its manifest names {} files", layers.size());
    return model;
  }
  TakeLayer(layers.front(), store, model);
  model.type = TypeOf(manifest->root(), store);
  return model;
}

void ScanManifests(const Store& store, std::vector<FoundModel>& found) {
  const fs::path manifests = store.folder / "manifests";
  for (const std::string& host : NamesIn(manifests)) {
    for (const std::string& space : NamesIn(manifests / host)) {
      for (const std::string& name : NamesIn(manifests / host / space)) {
        const fs::path folder = manifests / host / space / name;
        for (const std::string& tag : NamesIn(folder)) {
          found.push_back(ReadManifest(folder / tag, {host, space, name, tag}, store));
          if (found.size() >= kEntriesMax) {
            return;
          }
        }
      }
    }
  }
}

}  // namespace

void ScanOllama(const fs::path& folder, Findings& findings) {
  SearchedPlace place = LookAt(Source::kOllama, folder);
  for (const char* part : {"manifests", "blobs"}) {
    if (place.state == SearchedPlace::State::kSearched) {
      const SearchedPlace inner = LookAt(Source::kOllama, folder / part);
      place.state = inner.state;
      place.reason = inner.reason;
    }
  }
  if (place.state == SearchedPlace::State::kUnreadable) {
    place.reason += "; files of Ollama's service belong to user ollama: be in its group, or copy";
  }
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  if (place.state == SearchedPlace::State::kSearched && !error) {
    const size_t n_before = findings.models.size();
    ScanManifests({.folder = folder, .roots = {root}}, findings.models);
    place.n_models = findings.models.size() - n_before;
  }
  findings.places.push_back(std::move(place));
}

}  // namespace plimsoll::formats::store
