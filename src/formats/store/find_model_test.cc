#include "formats/store/find_model.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/store/model_files.h"
#include "formats/store/test_stores.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kMain(40, 'a');
const std::string kOld(40, 'b');
constexpr const char* kOwn = "registry.ollama.ai/library/";

std::map<std::string, FoundModel> ByName(const Places& places) {
  std::map<std::string, FoundModel> models;
  for (FoundModel& model : ListModels(places).models) {
    EXPECT_FALSE(models.contains(model.name)) << model.name;
    models.emplace(model.name, model);
  }
  return models;
}

std::string MessageOf(const Result<fs::path>& found) {
  return found ? "found " + found->string() : found.error().message;
}

// All four layouts, each with something odd beside what is sound.
void FillStores(const TestStores& stores) {
  const std::string qwen = "models--Qwen--Qwen3-8B-GGUF";
  stores.HubMain(qwen, kMain + "\n");
  stores.HubFile(qwen, kMain, "Qwen3-8B-Q4_K_M.gguf", "1234");
  stores.HubFile(qwen, kMain, "Q8_0/Qwen3-8B-Q8_0-00001-of-00002.gguf", "12");
  stores.HubFile(qwen, kMain, "Q8_0/Qwen3-8B-Q8_0-00002-of-00002.gguf", "345");
  stores.HubFile(qwen, kMain, "mmproj-F16.gguf", "1");
  stores.HubFile("models--gpt2", kOld, "config.json", R"({"torch_dtype": "float32"})");
  stores.HubFile("models--gpt2", kOld, "model.safetensors", "123456");
  const std::string blob = stores.OllamaBlob('1', "blob");
  const std::string config = stores.OllamaBlob('2', R"({"file_type": "Q4_0"})");
  stores.OllamaManifest(std::string(kOwn) + "llama3.2/latest", blob, 4, config);
  stores.OllamaManifest("hf.co/bob/Tiny-GGUF/Q8_0", stores.OllamaBlob('3', "other"), 5);
  stores.Write("lmstudio/lmstudio-community/Phi-4-GGUF/Phi-4-Q6_K.gguf", "12");
  stores.Write("lmstudio/bob/Pair/A-Q4_0.gguf", "1");
  stores.Write("lmstudio/bob/Pair/B-Q4_0.gguf", "2");
  stores.Write("lmstudio/bob/Pair/mmproj-B.gguf", "2");
  stores.Write("models/plain-IQ2_XXS.gguf", "123");
  stores.Write("models/notes.txt", "no model");
  stores.Write("models/folder/inner-00001-of-00001.gguf", "1");
}

TEST(ListModels, FindsAllOfFourLayouts) {
  const TestStores stores;
  FillStores(stores);
  const auto models = ByName(stores.places);
  const auto is = [&](const char* name, uint64_t bytes, const char* type) {
    const auto at = models.find(name);
    ASSERT_NE(at, models.end()) << name;
    EXPECT_EQ(at->second.bytes, bytes) << name;
    EXPECT_EQ(at->second.type, type) << name;
    EXPECT_EQ(at->second.problem, "") << name;
    EXPECT_TRUE(fs::exists(at->second.path)) << name;
  };
  is("hf:Qwen/Qwen3-8B-GGUF:Q4_K_M", 4, "Q4_K_M");
  is("hf:Qwen/Qwen3-8B-GGUF:Q8_0", 5, "Q8_0");
  is("hf:gpt2", 6, "F32");
  is("ollama:llama3.2:latest", 4, "Q4_0");
  is("ollama:hf.co/bob/Tiny-GGUF:Q8_0", 5, "");
  is("lmstudio:lmstudio-community/Phi-4-GGUF", 2, "Q6_K");
  is("lmstudio:bob/Pair/A-Q4_0", 1, "Q4_0");
  is("lmstudio:bob/Pair/B-Q4_0", 1, "Q4_0");
  is("plain-IQ2_XXS", 3, "IQ2_XXS");
  is("folder", 1, "");
  EXPECT_EQ(models.size(), 10U);
  const Findings findings = ListModels(stores.places);
  ASSERT_EQ(findings.places.size(), 4U);
  for (const SearchedPlace& place : findings.places) {
    EXPECT_EQ(place.state, SearchedPlace::State::kSearched);
    EXPECT_EQ(place.n_models,
              place.source == Source::kFolder || place.source == Source::kOllama ? 2 : 3);
  }
}

TEST(FindModel, TakesEachNameThatAModelHas) {
  TestStores stores;
  FillStores(stores);
  stores.places.aliases = {{"small", "ollama:llama3.2"}, {"mine", stores.root() / "models/folder"}};
  const auto find = [&](const char* name) {
    return fs::path(MessageOf(FindModel(name, stores.places))).filename().string();
  };
  const std::string blob = "sha256-" + std::string(64, '1');
  for (const char* name :
       {"ollama:llama3.2", "ollama:llama3.2:latest", "llama3.2", "LLAMA3.2:Latest", "small",
        "ollama:library/llama3.2", "ollama:registry.ollama.ai/library/llama3.2:latest"}) {
    EXPECT_EQ(find(name), blob) << name;
  }
  for (const char* name : {"hf:Qwen/Qwen3-8B-GGUF:Q4_K_M", "hf:qwen/qwen3-8b-gguf:q4_k_m",
                           "Qwen3-8B-Q4_K_M", "Qwen3-8B-GGUF:Q4_K_M", "Qwen3-8B-Q4_K_M.gguf"}) {
    EXPECT_EQ(find(name), "Qwen3-8B-Q4_K_M.gguf") << name;
  }
  EXPECT_EQ(find("hf:Qwen/Qwen3-8B-GGUF:Q8_0"), "Qwen3-8B-Q8_0-00001-of-00002.gguf");
  EXPECT_EQ(find("hf:gpt2"), kOld);
  EXPECT_EQ(find("gpt2"), kOld);
  EXPECT_EQ(find("lmstudio:lmstudio-community/Phi-4-GGUF/Phi-4-Q6_K.gguf"), "Phi-4-Q6_K.gguf");
  EXPECT_EQ(find("Phi-4-GGUF"), "Phi-4-Q6_K.gguf");
  EXPECT_EQ(find("B-Q4_0"), "B-Q4_0.gguf");
  EXPECT_EQ(find("plain-IQ2_XXS"), "plain-IQ2_XXS.gguf");
  EXPECT_EQ(find("mine"), "inner-00001-of-00001.gguf");
}

TEST(FindModel, APrefixKeepsToItsStore) {
  const TestStores stores;
  FillStores(stores);
  EXPECT_FALSE(FindModel("hf:llama3.2", stores.places));
  EXPECT_FALSE(FindModel("ollama:gpt2", stores.places));
  EXPECT_FALSE(FindModel("lmstudio:plain-IQ2_XXS", stores.places));
}

TEST(FindModel, PathsComeFirst) {
  const TestStores stores;
  const fs::path first = stores.Write("x/m-00001-of-00003.gguf", "1");
  const fs::path last = stores.Write("x/m-00003-of-00003.gguf", "3");
  EXPECT_EQ(MessageOf(FindModel(last.string(), stores.places)), "found " + first.string());
  const fs::path alone = stores.Write("y/m-00003-of-00003.gguf", "3");
  EXPECT_EQ(FindModel(alone.string(), stores.places), alone) << "opening it says what is missing";
  const fs::path model = stores.Write("z/m.gguf", "3");
  stores.Write("z/mmproj.gguf", "3");
  EXPECT_EQ(FindModel((stores.root() / "z").string(), stores.places), model);
  stores.Write("z/other.gguf", "3");
  EXPECT_EQ(FindModel((stores.root() / "z").string(), stores.places), stores.root() / "z");
}

TEST(FindModel, SaysWhatIsLikeWhatIsMissingAndWhereItLooked) {
  TestStores stores;
  FillStores(stores);
  stores.places.ollama.push_back(stores.root() / "nowhere");
  const auto found = FindModel("lama3.2", stores.places);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::kIo);
  EXPECT_THAT(found.error().message, HasSubstr("there is no model \"lama3.2\""));
  EXPECT_THAT(found.error().message, HasSubstr("Did you mean ollama:llama3.2:latest?"));
  EXPECT_THAT(found.error().message, HasSubstr((stores.root() / "hub").string() + " (3)"));
  EXPECT_THAT(found.error().message, HasSubstr("nowhere (not there)"));
  EXPECT_LE(std::ranges::count(found.error().message, '\n'), 2);
  const std::string near =
      MessageOf(FindModel((stores.root() / "models/plain-IQ2_XS.gguf").string(), stores.places));
  EXPECT_THAT(near,
              HasSubstr("Did you mean " + (stores.root() / "models/plain-IQ2_XXS.gguf").string()));
  EXPECT_THAT(MessageOf(FindModel("/no/such/folder/m.gguf", stores.places)),
              HasSubstr("there is no folder /no/such/folder"));
  TestStores none;
  none.places = {};
  EXPECT_THAT(MessageOf(FindModel("x", none.places)), HasSubstr("nowhere"));
}

TEST(FindModel, RefusesANameThatMeansSeveral) {
  const TestStores stores;
  FillStores(stores);
  const auto quant = FindModel("hf:Qwen/Qwen3-8B-GGUF", stores.places);
  ASSERT_FALSE(quant);
  EXPECT_EQ(quant.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(quant.error().message, HasSubstr("means 2 models"));
  EXPECT_THAT(quant.error().message,
              HasSubstr("hf:Qwen/Qwen3-8B-GGUF:Q4_K_M, hf:Qwen/Qwen3-8B-GGUF:Q8_0"));
  EXPECT_THAT(MessageOf(FindModel("Pair", stores.places)), HasSubstr("means 2 models"));
  // Two ways to one file are one model.
  stores.Link("models/Phi-4-Q6_K.gguf",
              stores.root() / "lmstudio/lmstudio-community/Phi-4-GGUF/Phi-4-Q6_K.gguf");
  EXPECT_TRUE(FindModel("Phi-4-Q6_K", stores.places));
}

TEST(FindModel, TheLatestTagIsMeantWhereNoneIsSaid) {
  const TestStores stores;
  stores.OllamaManifest(std::string(kOwn) + "m/latest", stores.OllamaBlob('1', "a"), 1);
  stores.OllamaManifest(std::string(kOwn) + "m/8b", stores.OllamaBlob('2', "b"), 1);
  stores.OllamaManifest(std::string(kOwn) + "only/8b", stores.OllamaBlob('3', "c"), 1);
  const auto blob = [&](char digit) {
    return "found " +
           (stores.root() / "ollama/blobs" / ("sha256-" + std::string(64, digit))).string();
  };
  EXPECT_EQ(MessageOf(FindModel("ollama:m", stores.places)), blob('1'));
  EXPECT_EQ(MessageOf(FindModel("ollama:m:8b", stores.places)), blob('2'));
  EXPECT_EQ(MessageOf(FindModel("only", stores.places)), blob('3'));
}

TEST(FindModel, AnAliasSaysThatItIsOne) {
  TestStores stores;
  stores.places.aliases = {{"big", "/no/such.gguf"}, {"loop", "loop"}};
  EXPECT_THAT(MessageOf(FindModel("big", stores.places)),
              HasSubstr("the alias big: cannot open /no/such.gguf"));
  EXPECT_THAT(MessageOf(FindModel("loop", stores.places)), HasSubstr("there is no model \"loop\""));
}

TEST(QuantInName, KnowsTheUsualSpellings) {
  EXPECT_EQ(QuantInName("Qwen3-8B-Q4_K_M.gguf"), "Q4_K_M");
  EXPECT_EQ(QuantInName("m-UD-IQ2_XXS.gguf"), "UD-IQ2_XXS");
  EXPECT_EQ(QuantInName("m.q8_0.gguf"), "Q8_0");
  EXPECT_EQ(QuantInName("gpt-oss-20b-mxfp4.gguf"), "MXFP4");
  EXPECT_EQ(QuantInName("m-BF16.gguf"), "BF16");
  EXPECT_EQ(QuantInName("Qwen3-8B.gguf"), "");
  EXPECT_EQ(QuantInName(""), "");
}

// Since the process began; of all its threads.
uint64_t ReadCalls() {
  std::ifstream file("/proc/self/io");
  std::string name;
  uint64_t number = 0;
  while (file >> name >> number) {
    if (name == "syscr:") {
      return number;
    }
  }
  ADD_FAILURE() << "/proc/self/io does not say how often something was read";
  return 0;
}

TEST(ListModels, ReadsLittleOfFiveHundredModels) {
  const TestStores stores;
  for (int i = 0; i < 200; ++i) {
    const std::string repository = fmt::format("models--org--m{}-GGUF", i);
    stores.HubMain(repository, kMain);
    stores.HubFile(repository, kMain, fmt::format("m{}-Q4_0.gguf", i), "1");
    stores.Write(fmt::format("lmstudio/org/m{}/m.gguf", i), "1");
  }
  const std::string blob = stores.OllamaBlob('1', "blob");
  const std::string config = stores.OllamaBlob('2', R"({"file_type": "Q4_0"})");
  for (int i = 0; i < 100; ++i) {
    stores.OllamaManifest(fmt::format("{}m{}/latest", kOwn, i), blob, 4, config);
  }
  const uint64_t before = ReadCalls();
  ASSERT_EQ(ListModels(stores.places).models.size(), 500U);
  const uint64_t n_calls = ReadCalls() - before;
  std::cout << "500 models: " << n_calls << " calls that read\n";
  EXPECT_LE(n_calls, 2U * 500);
}

}  // namespace
}  // namespace plimsoll::formats::store
