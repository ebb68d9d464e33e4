// Stores of models in a temporary folder, laid out as the programs that own them do.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/store/places.h"

namespace plimsoll::formats::store {

class TestStores {
 public:
  TestStores() {
    static int count = 0;
    root_ = std::filesystem::path(testing::TempDir()) /
            fmt::format("stores-{}-{}", ::getpid(), ++count);
    std::filesystem::create_directories(root_);
    places.hugging_face = root_ / "hub";
    places.ollama = {root_ / "ollama"};
    places.lm_studio = {root_ / "lmstudio"};
    places.folders = {root_ / "models"};
  }
  TestStores(const TestStores&) = delete;
  TestStores& operator=(const TestStores&) = delete;
  ~TestStores() {
    std::error_code error;
    std::filesystem::remove_all(root_, error);
  }

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

  // `path` below the root.
  std::filesystem::path Write(const std::filesystem::path& path, std::string_view text) const {
    const std::filesystem::path whole = root_ / path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole, std::ios::binary) << text;
    return whole;
  }
  std::filesystem::path Link(const std::filesystem::path& path,
                             const std::filesystem::path& target) const {
    const std::filesystem::path whole = root_ / path;
    std::filesystem::create_directories(whole.parent_path());
    std::filesystem::create_symlink(target, whole);
    return whole;
  }

  // A file of a snapshot: a link to its blob. `repository` is "models--ORG--NAME".
  std::filesystem::path HubFile(const std::string& repository, const std::string& commit,
                                const std::string& file, std::string_view text) const {
    const std::filesystem::path folder = std::filesystem::path("hub") / repository;
    const std::string hash = fmt::format("{:064x}", std::hash<std::string>{}(file + commit));
    Write(folder / "blobs" / hash, text);
    std::filesystem::path up = "../..";
    for (const char c : file) {
      up = c == '/' ? up / ".." : up;
    }
    return Link(folder / "snapshots" / commit / file, up / "blobs" / hash);
  }
  void HubMain(const std::string& repository, const std::string& commit) const {
    Write(std::filesystem::path("hub") / repository / "refs" / "main", commit);
  }

  // A digest, and its blob in Ollama's store.
  std::string OllamaBlob(char digit, std::string_view text) const {
    const std::string hex(64, digit);
    Write("ollama/blobs/sha256-" + hex, text);
    return "sha256:" + hex;
  }
  // A manifest with one model layer. `name` is "HOST/NAMESPACE/NAME/TAG".
  std::filesystem::path OllamaManifest(const std::string& name, std::string_view digest,
                                       size_t bytes, std::string_view config = "") const {
    return Write("ollama/manifests/" + name, fmt::format(R"({{"schemaVersion": 2,
 "config": {{"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "{}"}},
 "layers": [{{"mediaType": "application/vnd.ollama.image.template", "digest": "{}", "size": 3}},
  {{"mediaType": "application/vnd.ollama.image.model", "digest": "{}", "size": {}}}]}})",
                                                         config, digest, digest, bytes));
  }

  Places places;

 private:
  std::filesystem::path root_;
};

}  // namespace plimsoll::formats::store
