#include "cli/settings.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/fake_engine.h"
#include "cli/program.h"

namespace plimsoll::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> ValuesOf(const Settings& settings, std::string_view command,
                                  const std::string& name) {
  const auto found = settings.Find(command, {{name}});
  return found.empty() ? std::vector<std::string>{"unset"} : found.front()->values;
}

TEST(Settings, TheInnermostTableHolds) {
  const auto settings = Settings::Parse(R"(
memory = "8G"      # a # in a comment
top = 1
[eval]
top = 2
[eval.logits]
top = 3
[run]
stop = ["a", "# b", 'c\n']
temp = 0.25
raw = true
)",
                                        "c.toml");
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_THAT(ValuesOf(*settings, "run", "--memory"), ElementsAre("8G"));
  EXPECT_THAT(ValuesOf(*settings, "eval logits", "--top"), ElementsAre("3"));
  EXPECT_THAT(ValuesOf(*settings, "eval perplexity", "--top"), ElementsAre("2"));
  EXPECT_THAT(ValuesOf(*settings, "run", "--top"), ElementsAre("1"));
  EXPECT_THAT(ValuesOf(*settings, "run", "--stop"), ElementsAre("a", "# b", "c\\n"));
  EXPECT_THAT(ValuesOf(*settings, "run", "--temp"), ElementsAre("0.25"));
  EXPECT_THAT(ValuesOf(*settings, "run", "--raw"), ElementsAre("true"));
  EXPECT_THAT(ValuesOf(*settings, "plan", "--temp"), ElementsAre("unset"));
  EXPECT_EQ(settings->Place(*settings->Find("run", {{"--memory"}}).front()), "c.toml:2");
}

TEST(Settings, WhatIsNotTomlIsNamedWithItsPlace) {
  const auto error = [](std::string_view text) {
    const auto settings = Settings::Parse(text, "c.toml");
    if (settings) return std::string("accepted");
    EXPECT_EQ(settings.error().kind, ErrorKind::kUsage);
    return settings.error().message;
  };
  EXPECT_THAT(error("a = 1\nb = \"open\nc = 2"), HasSubstr("c.toml:2:"));
  EXPECT_THAT(error("a = 1\na = 2"), HasSubstr("c.toml:2:"));
  EXPECT_THAT(error("memory = 8G"), HasSubstr("c.toml:1:"));
  EXPECT_THAT(error("a = \"\xff\""), HasSubstr("c.toml:1:"));
  EXPECT_THAT(error("a = 1979-05-27"), HasSubstr("c.toml:1: a is neither a text"));
  EXPECT_THAT(error("a = [[1]]"), HasSubstr("c.toml:1: a is neither a text"));
  EXPECT_THAT(error(std::string(100000, '[')), Not(HasSubstr("accepted")));
}

// The program over a scripted engine and a settings file.
class SettingsOfProgram : public testing::Test {
 protected:
  void TearDown() override {
    std::filesystem::remove(path_);
    ::unsetenv("PLIMSOLL_THREADS");
  }

  int Run(const std::string& settings, std::vector<std::string> args) {
    std::ofstream(path_) << settings;
    out_.str("");
    err_.str("");
    const Console console = {.in = in_, .out = out_, .err = err_};
    const auto load = [this](const engine::EngineOptions& options,
                             const engine::Engine::ProgressFn&) {
      script_.loaded = options;
      return Result<std::unique_ptr<engine::Engine>>(std::make_unique<FakeEngine>(script_));
    };
    const SettingsFile file = {.path = path_, .must_exist = true};
    return RunProgram(std::move(args), {.console = console, .load = load, .settings_file = file});
  }
  std::string Error(const std::string& settings, std::vector<std::string> args) {
    EXPECT_EQ(Run(settings, std::move(args)), 2);
    return err_.str();
  }

  std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) /
                                ("plimsoll_settings_" + std::to_string(::getpid()) + ".toml");
  FakeScript script_;
  std::stringstream in_, out_, err_;
};

TEST_F(SettingsOfProgram, ArgumentsBeatTheEnvironmentAndThatTheFile) {
  const std::string settings =
      "threads = 2\nmemory = \"1G\"\nprefetch = \"router\"\n[run]\ntemp = 0.5\n";
  EXPECT_EQ(Run(settings, {"run", "-p", "x"}), 0) << err_.str();
  EXPECT_EQ(script_.loaded.n_threads, 2U);
  EXPECT_EQ(script_.loaded.memory->Resolve(0), uint64_t{1} << 30U);
  EXPECT_EQ(script_.loaded.prefetch, "router");
  EXPECT_EQ(script_.options.back().sampling.temperature, 0.5F);
  ::setenv("PLIMSOLL_THREADS", "3", 1);
  EXPECT_EQ(Run(settings, {"run", "-p", "x"}), 0);
  EXPECT_EQ(script_.loaded.n_threads, 3U);
  EXPECT_EQ(Run(settings, {"run", "-p", "x", "-t", "4", "--temp", "0"}), 0);
  EXPECT_EQ(script_.loaded.n_threads, 4U);
  EXPECT_EQ(script_.options.back().sampling.temperature, 0.0F);
}

TEST_F(SettingsOfProgram, AModelOfTheFileGivesWayToTheOneThatIsNamed) {
  EXPECT_EQ(Run("model = \"a.gguf\"", {"run", "-p", "x"}), 0);
  EXPECT_EQ(script_.loaded.model, "a.gguf");
  EXPECT_EQ(Run("model = \"a.gguf\"", {"run", "-p", "x", "b.gguf"}), 0);
  EXPECT_EQ(script_.loaded.model, "b.gguf");
}

TEST_F(SettingsOfProgram, WhatIsNoOptionIsRefusedWhicheverCommandRuns) {
  EXPECT_THAT(Error("memroy = \"8G\"", {"run", "-p", "x"}),
              HasSubstr(":1: memroy is no option. Did you mean memory?"));
  EXPECT_THAT(Error("\n[bench]\nstop = \"x\"", {"run", "-p", "x"}),
              HasSubstr(":3: stop in [bench] is no option there."));
  EXPECT_THAT(Error("[rnu]\ntemp = 1", {"run", "-p", "x"}), HasSubstr("temp in [rnu]"));
  EXPECT_THAT(Error("memory = \"lots\"", {"inspect", "x"}), HasSubstr(":1: memory: \"lots\""));
  EXPECT_THAT(Error("memory = [\"1G\", \"2G\"]", {"inspect", "x"}), HasSubstr("not a list"));
  EXPECT_THAT(Error("temp = ", {"inspect", "x"}), HasSubstr(":1:"));
  EXPECT_EQ(Run("memroy = 1", {"--version"}), 0);
  EXPECT_EQ(Run("memroy = 1", {"config", "--help"}), 0);
}

TEST_F(SettingsOfProgram, ConfigShowsOptionsWithTheirOriginAndChecksFiles) {
  ::setenv("PLIMSOLL_THREADS", "3", 1);
  EXPECT_EQ(Run("threads = 2\n[eval.logits]\ntop = 5\n", {"config", "show"}), 0) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("--threads 3\n    from PLIMSOLL_THREADS, which beats " +
                                    path_.string() + ":1\n    for run, serve, batch, plan, "));
  EXPECT_THAT(out_.str(),
              HasSubstr("--top 5\n    from " + path_.string() + ":3\n    for eval logits\n"));
  EXPECT_EQ(Run("threads = 2\n", {"config", "show", "--json"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr(R"("command":"trace record","option":"--threads")"));
  EXPECT_EQ(Run("threads = 2\n", {"config", "check"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("1 setting is sound"));
  EXPECT_THAT(Error("threads = 2\nthraeds = 3\n", {"config", "check"}), HasSubstr(":2: thraeds"));
  EXPECT_EQ(Run("", {"config", "check", "/no/such/file"}), 5);
  EXPECT_THAT(Error("", {"config"}), HasSubstr("show or check"));
  EXPECT_THAT(Error("", {"config", "chekc"}), HasSubstr("Did you mean check?"));
  EXPECT_THAT(Error("", {"config", "show", "x"}), HasSubstr("does not take"));
}

}  // namespace
}  // namespace plimsoll::cli
