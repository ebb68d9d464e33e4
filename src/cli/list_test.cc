#include "cli/list.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_engine.h"
#include "cli/find_model.h"
#include "cli/program.h"

namespace plimsoll::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

// The program where a folder holds the models that there are.
struct ProgramWithModels {
  ProgramWithModels() {
    folder = fs::path(testing::TempDir()) /
             testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder);
    fs::create_directories(folder / "models");
    std::ofstream(folder / "models/tiny-Q4_0.gguf") << "12345";
    std::ofstream(folder / "beside.gguf") << "1";
    script.answers = {"a"};
  }

  int Run(std::vector<std::string> args, const std::string& settings_text = "") {
    std::ofstream(folder / "config.toml") << settings_text;
    const Console console = {.in = in, .out = out, .err = err};
    const auto load = [this](const engine::EngineOptions& options,
                             const engine::Engine::ProgressFn&) {
      script.loaded = options;
      return Result<std::unique_ptr<engine::Engine>>(std::make_unique<FakeEngine>(script));
    };
    return RunProgram(std::move(args), {.console = console,
                                        .load = load,
                                        .interrupts = nullptr,
                                        .open_terminal = nullptr,
                                        .settings_file = SettingsFile{folder / "config.toml", true},
                                        .sources = {},
                                        .places = formats::store::Places()});
  }
  std::string models() const { return (folder / "models").string(); }

  FakeScript script;
  fs::path folder;
  std::stringstream in, out, err;
};

TEST(ListCommand, ShowsEachModelAsTextAndAsJson) {
  ProgramWithModels program;
  EXPECT_EQ(program.Run({"list", "--models-dir", program.models()}), 0) << program.err.str();
  EXPECT_THAT(program.out.str(), StartsWith("tiny-Q4_0"));
  EXPECT_THAT(program.out.str(), HasSubstr("5 B  Q4_0"));
  EXPECT_THAT(program.out.str(), HasSubstr(program.models() + "/tiny-Q4_0.gguf"));
  program.out.str("");
  EXPECT_EQ(program.Run({"list", "--json"}, "models-dir = \"" + program.models() + "\"\n"), 0)
      << program.err.str();
  EXPECT_THAT(program.out.str(),
              StartsWith(R"({"schema_version":1,"models":[{"name":"tiny-Q4_0","source":"folder",)"
                         R"("bytes":5,"type":"Q4_0","path":")"));
  EXPECT_THAT(program.out.str(), HasSubstr(R"("problem":null}],"aliases":[],"places":[{)"));
}

TEST(ListCommand, SaysWhereItLookedWhenThereIsNothing) {
  ProgramWithModels program;
  EXPECT_EQ(program.Run({"list", "--models-dir", "/no/such/folder"}), 0);
  EXPECT_THAT(program.out.str(), HasSubstr("/no/such/folder (not there)"));
}

TEST(ListText, IsSafeToPrint) {
  formats::store::Findings findings;
  findings.models.push_back({.name = "evil\x1b[2J", .path = "/x", .problem = "a\nb"});
  EXPECT_EQ(ListText(findings, {}).find('\x1b'), std::string::npos);
}

TEST(FindModelOption, NamesMeanFiles) {
  ProgramWithModels program;
  EXPECT_EQ(program.Run({"run", "-p", "x", "-m", "tiny-Q4_0", "--models-dir", program.models()}), 0)
      << program.err.str();
  EXPECT_EQ(program.script.loaded.model, program.models() + "/tiny-Q4_0.gguf");
  EXPECT_EQ(program.Run({"run", "-p", "x", "-m", "tine-Q4_0", "--models-dir", program.models()}),
            5);
  EXPECT_THAT(program.err.str(), HasSubstr("Did you mean tiny-Q4_0?"));
  EXPECT_EQ(program.Run({"run", "-p", "x", program.folder / "beside.gguf"}), 0);
}

TEST(FindModelOption, AliasesComeFromTheSettings) {
  ProgramWithModels program;
  EXPECT_EQ(program.Run({"run", "-p", "x", "-m", "mine"}, "[models]\nmine = \"beside.gguf\"\n"), 0)
      << program.err.str();
  EXPECT_EQ(program.script.loaded.model, program.folder / "beside.gguf");
  EXPECT_EQ(program.Run({"run", "-p", "x"}, "[models]\nmine = [\"a\", \"b\"]\n"), 2);
  EXPECT_THAT(program.err.str(), HasSubstr("config.toml:2: the model mine needs one path or name"));
  program.out.str("");
  EXPECT_EQ(program.Run({"list"}, "[models]\nmine = \"hf:a/b\"\n"), 0);
  EXPECT_THAT(program.out.str(), HasSubstr("mine = hf:a/b"));
}

TEST(FindModelOption, APrefixNeedsNoCommand) {
  ProgramWithModels program;
  EXPECT_EQ(program.Run({"ollama:llama3.2", "-p", "x"}), 5);
  EXPECT_THAT(program.err.str(), HasSubstr("there is no model \"ollama:llama3.2\""));
}

}  // namespace
}  // namespace plimsoll::cli
