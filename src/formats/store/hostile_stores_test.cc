// Stores that are broken, half filled, or made to lead astray.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/store/find_model.h"
#include "formats/store/test_stores.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kCommit(40, 'c');
constexpr const char* kLibrary = "registry.ollama.ai/library/";

// The problem of the one model that there is.
std::string Problem(const Places& places) {
  const Findings findings = ListModels(places);
  EXPECT_EQ(findings.models.size(), 1U);
  if (findings.models.size() != 1) {
    return "?";
  }
  const std::string name = findings.models[0].name;
  const auto found = FindModel(name, places);
  EXPECT_EQ(found.has_value(), findings.models[0].problem.empty()) << name;
  return findings.models[0].problem;
}

TEST(HuggingFaceCache, FollowsLinksOverSeveralStepsAndRealFiles) {
  const TestStores stores;
  // The blob itself is a link into a pool that repositories share.
  const std::string repository = "hub/models--o--m/";
  stores.Write("hub/blobs/pool", "1234");
  stores.Link(repository + "blobs/x", "../../blobs/pool");
  stores.Link(repository + "snapshots/" + kCommit + "/m-Q8_0.gguf", "../../blobs/x");
  EXPECT_EQ(Problem(stores.places), "");
  EXPECT_EQ(ListModels(stores.places).models[0].bytes, 4U);
  // Without links.
  stores.Write(repository + "snapshots/" + kCommit + "/n-Q4_0.gguf", "12");
  EXPECT_TRUE(FindModel("hf:o/m:Q4_0", stores.places));
}

TEST(HuggingFaceCache, ARepositoryMayLieOnAnotherDisk) {
  const TestStores stores;
  stores.HubFile("models--o--m", kCommit, "m.gguf", "1");
  fs::create_directories(stores.root() / "elsewhere");
  fs::rename(stores.root() / "hub/models--o--m", stores.root() / "elsewhere/moved");
  stores.Link("hub/models--o--m", stores.root() / "elsewhere/moved");
  EXPECT_EQ(Problem(stores.places), "");
}

TEST(HuggingFaceCache, SaysWhatIsMissingOfASnapshot) {
  const auto problem = [](const auto& fill) {
    const TestStores stores;
    fill(stores);
    return Problem(stores.places);
  };
  const std::string repository = "models--o--m";
  EXPECT_THAT(problem([&](const TestStores& stores) {
                stores.Link("hub/models--o--m/snapshots/" + kCommit + "/m.gguf",
                            "../../blobs/gone");
              }),
              HasSubstr("m.gguf: its link leads to nothing"));
  EXPECT_THAT(problem([&](const TestStores& stores) {
                stores.HubFile(repository, kCommit, "m-00002-of-00002.gguf", "1");
              }),
              HasSubstr("m-00001-of-00002.gguf: it is not there"));
  EXPECT_THAT(problem([&](const TestStores& stores) {
                stores.HubFile(repository, kCommit, "config.json", "{}");
                stores.HubFile(repository, kCommit, "model.safetensors.index.json", "{}");
                stores.HubFile(repository, kCommit, "model-00001-of-00002.safetensors", "1");
              }),
              HasSubstr("model-00002-of-00002.safetensors: it is not there"));
  EXPECT_THAT(problem([&](const TestStores& stores) {
                stores.HubFile(repository, kCommit, "model.safetensors", "1");
              }),
              HasSubstr("config.json"));
  EXPECT_THAT(problem([&](const TestStores& stores) {
                stores.HubFile(repository, kCommit, "m.gguf", "1");
                stores.Write("hub/models--o--m/trees/" + kCommit + ".json",
                             R"({"format_version": 1, "files": {"m.gguf": {"size": 1,
                                 "lfs_size": 9}, "README.md": {"size": 100}}})");
              }),
              HasSubstr("incomplete: 1 of its 9 bytes"));
  EXPECT_THAT(problem([&](const TestStores& stores) {
                stores.HubFile(repository, kCommit, "config.json", "{}");
                stores.HubFile(repository, kCommit, "model.safetensors", "12");
                stores.Write("hub/models--o--m/trees/" + kCommit + ".json",
                             R"({"files": {"model.safetensors": {"size": 2},
                                 "tokenizer.json": {"size": 5}}})");
              }),
              HasSubstr("incomplete: tokenizer.json"));
}

TEST(HuggingFaceCache, AWholeModelOfAnotherSnapshotBeatsABrokenOne) {
  const TestStores stores;
  const std::string other(40, 'd');
  stores.HubMain("models--o--m", kCommit);
  stores.Link("hub/models--o--m/snapshots/" + kCommit + "/m.gguf", "../../blobs/gone");
  const fs::path whole = stores.HubFile("models--o--m", other, "m.gguf", "1");
  EXPECT_EQ(FindModel("hf:o/m", stores.places), whole);
}

TEST(HuggingFaceCache, NothingLeadsOutOfIt) {
  const TestStores stores;
  const fs::path secret = stores.Write("secret.gguf", "secret");
  stores.Link("hub/models--o--m/snapshots/" + kCommit + "/m.gguf", secret);
  EXPECT_THAT(Problem(stores.places), HasSubstr("leads out of the store"));
  // refs/main that is a path, or a link to a file elsewhere, or endless, names no snapshot.
  stores.Write("outside/model.safetensors", "1");
  stores.HubMain("models--o--m", "../../../outside");
  EXPECT_EQ(ListModels(stores.places).models.size(), 1U);
  fs::remove(stores.root() / "hub/models--o--m/refs/main");
  stores.Link("hub/models--o--m/refs/main", "/dev/zero");
  EXPECT_EQ(ListModels(stores.places).models.size(), 1U);
  // A folder that is a link is not walked below a snapshot; one in a circle neither.
  stores.Link("hub/models--o--m/snapshots/" + kCommit + "/loop", ".");
  EXPECT_EQ(ListModels(stores.places).models.size(), 1U);
}

TEST(HuggingFaceCache, AHostileTreeChangesNothingElse) {
  const TestStores stores;
  stores.HubFile("models--o--m", kCommit, "m.gguf", "1");
  for (const char* tree :
       {"", "{", "[]", R"({"files": 3})", R"({"files": {"m.gguf": 3}})",
        R"({"files": {"../../../../etc/passwd": {"size": 5}, "m.gguf": {"size": -1}}})"}) {
    stores.Write("hub/models--o--m/trees/" + kCommit + ".json", tree);
    EXPECT_EQ(Problem(stores.places), "") << tree;
  }
  stores.Write("hub/models--o--m/trees/" + kCommit + ".json",
               R"({"files": {"m.gguf": {"size": 18446744073709551615}}})");
  EXPECT_THAT(Problem(stores.places), HasSubstr("incomplete"));
}

TEST(OllamaStore, OpensNoBlobButByADigest) {
  const std::string hex(64, 'f');
  for (const std::string& digest :
       {std::string("sha256:../../../../etc/passwd"), std::string("sha256:/etc/passwd"),
        "sha256:" + std::string(63, 'f'), "sha256:" + std::string(65, 'f'), "sha512:" + hex,
        "sha256-" + hex, hex, std::string(), "sha256:" + std::string(61, 'f') + "/..",
        "sha256:" + hex + "\\u0000"}) {
    const TestStores stores;
    fs::create_directories(stores.root() / "ollama/blobs");
    stores.OllamaManifest(std::string(kLibrary) + "m/latest", digest, 4);
    EXPECT_THAT(Problem(stores.places), HasSubstr("is none")) << digest;
  }
}

TEST(OllamaStore, HostileManifestsAreProblemsOfTheirModels) {
  const TestStores stores;
  fs::create_directories(stores.root() / "ollama/blobs");
  const std::string path = std::string("ollama/manifests/") + kLibrary + "m/latest";
  for (const std::string& manifest :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
        std::string(R"({"layers": 7})"), std::string(R"({"layers": [7, {}, {"mediaType": 3}]})"),
        std::string(R"({"layers": [{"mediaType": "application/vnd.ollama.image.model"}]})"),
        std::string(200, '['), std::string("\xff\xfe"), std::string(2 << 20, ' ')}) {
    stores.Write(path, manifest);
    EXPECT_NE(Problem(stores.places), "") << manifest.substr(0, 80);
  }
  fs::remove(stores.root() / path);
  ASSERT_EQ(::mkfifo((stores.root() / path).c_str(), 0600), 0);
  EXPECT_THAT(Problem(stores.places), HasSubstr("no regular file"));
}

TEST(OllamaStore, LinksOutOfItAndHalfBlobsAreRefused) {
  const TestStores stores;
  const std::string digest = stores.OllamaBlob('5', "half");
  stores.OllamaManifest(std::string(kLibrary) + "m/latest", digest, 400);
  EXPECT_THAT(Problem(stores.places), HasSubstr("incomplete: 4 of its 400 bytes"));
  const fs::path blob = stores.root() / "ollama/blobs" / ("sha256-" + std::string(64, '5'));
  fs::remove(blob);
  EXPECT_THAT(Problem(stores.places), HasSubstr("it is not there"));
  fs::create_symlink(stores.Write("secret", "1234"), blob);
  EXPECT_THAT(Problem(stores.places), HasSubstr("leads out of the store"));
  fs::remove(blob);
  fs::create_directories(blob);
  EXPECT_THAT(Problem(stores.places), HasSubstr("no regular file"));
}

TEST(OllamaStore, SaysWhoseItIsWhenItCannotBeRead) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root may read everything";
  }
  const TestStores stores;
  fs::create_directories(stores.root() / "ollama/blobs");
  fs::create_directories(stores.root() / "ollama/manifests");
  fs::permissions(stores.root() / "ollama/manifests", fs::perms::none);
  const Findings findings = ListModels(stores.places);
  fs::permissions(stores.root() / "ollama/manifests", fs::perms::all);
  const auto place = std::ranges::find(findings.places, Source::kOllama, &SearchedPlace::source);
  ASSERT_NE(place, findings.places.end());
  EXPECT_EQ(place->state, SearchedPlace::State::kUnreadable);
  EXPECT_THAT(place->reason, HasSubstr("user ollama"));
}

TEST(LmStudioStore, FollowsImportedLinksAndSkipsWhatIsNoModel) {
  const TestStores stores;
  stores.Link("lmstudio/bob/m/m-Q4_0.gguf", stores.Write("downloads/m-Q4_0.gguf", "123"));
  stores.Write("lmstudio/bob/readme.txt", "x");
  stores.Write("lmstudio/.internal/x/y.gguf", "x");
  fs::create_directories(stores.root() / "lmstudio/bob/empty");
  EXPECT_EQ(Problem(stores.places), "");
  fs::remove(stores.root() / "downloads/m-Q4_0.gguf");
  EXPECT_THAT(Problem(stores.places), HasSubstr("its link leads to nothing"));
}

TEST(Names, NeverReachOutOfAStore) {
  const TestStores stores;
  stores.Write("secret.gguf", "1");
  stores.HubFile("models--o--m", kCommit, "m.gguf", "1");
  stores.OllamaManifest(std::string(kLibrary) + "m/latest", stores.OllamaBlob('1', "a"), 1);
  stores.Write("lmstudio/bob/m/m.gguf", "1");
  for (const char* name :
       {"hf:../secret", "hf:../../secret.gguf", "hf:/etc/passwd", "ollama:../../../secret",
        "ollama:../blobs/sha256-1", "lmstudio:../secret.gguf",
        "lmstudio:bob/m/../../../secret.gguf", "ollama:", "hf:", "lmstudio:bob", "hf:o",
        "ollama:m:..", "hf:o/m:../../m"}) {
    EXPECT_FALSE(FindModel(name, stores.places)) << name;
  }
}

TEST(PlacesOfUser, FollowTheVariablesOfTheirPrograms) {
  const TestStores stores;
  std::map<std::string, std::string> variables = {{"HOME", stores.root().string()}};
  const auto places = [&] {
    return PlacesOfUser([&](const char* name) {
      const auto at = variables.find(name);
      return at == variables.end() ? std::nullopt : std::optional(at->second);
    });
  };
  EXPECT_EQ(places().hugging_face, stores.root() / ".cache/huggingface/hub");
  EXPECT_EQ(places().ollama.size(), 2U);
  EXPECT_EQ(places().ollama[0], stores.root() / ".ollama/models");
  EXPECT_EQ(places().lm_studio[0], stores.root() / ".lmstudio/models");
  variables["XDG_CACHE_HOME"] = "/cache";
  EXPECT_EQ(places().hugging_face, "/cache/huggingface/hub");
  variables["HF_HOME"] = "/hf";
  EXPECT_EQ(places().hugging_face, "/hf/hub");
  variables["HF_HUB_CACHE"] = "/hub";
  EXPECT_EQ(places().hugging_face, "/hub");
  variables["OLLAMA_MODELS"] = "/ollama";
  EXPECT_THAT(places().ollama, testing::ElementsAre("/ollama"));
  stores.Write(".lmstudio-home-pointer", stores.root().string() + "\n");
  EXPECT_THAT(places().lm_studio, testing::ElementsAre(stores.root() / "models"));
  stores.Write(".lmstudio-home-pointer", "../relative");
  EXPECT_EQ(places().lm_studio[0], stores.root() / ".lmstudio/models");
  variables.clear();
  EXPECT_FALSE(places().hugging_face.has_value());
  EXPECT_TRUE(places().lm_studio.empty());
}

}  // namespace
}  // namespace plimsoll::formats::store
