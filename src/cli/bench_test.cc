// The command line of `bench`, over an engine without a model.
#include "cli/bench.h"

#include <sstream>

#include <gmock/gmock.h>
#include <simdjson.h>

#include "cli/fake_engine.h"
#include "cli/program.h"

namespace plimsoll::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::StartsWith;

struct BenchProgram {
  int Run(std::vector<std::string> args) {
    args.insert(args.begin(), "bench");
    const Console console = {.in = in, .out = out, .err = err};
    const auto load = [this](const engine::EngineOptions& options,
                             const engine::Engine::ProgressFn&) {
      loaded.push_back(options);
      if (loaded.size() > n_loads_max) {
        return Result<std::unique_ptr<engine::Engine>>(
            Fail(ErrorKind::kDoesNotFit, "needs more; raise the line with --memory 9M"));
      }
      return Result<std::unique_ptr<engine::Engine>>(std::make_unique<FakeEngine>(script));
    };
    return RunProgram(
        std::move(args),
        {.console = console, .load = load, .interrupts = nullptr, .open_terminal = nullptr});
  }
  // The names of the rows' tests.
  std::vector<std::string> Tests() {
    simdjson::dom::parser parser;
    const std::string text = out.str();
    std::vector<std::string> tests;
    for (const simdjson::dom::element row : parser.parse(text).get_array()) {
      tests.push_back(fmt::format("{}+{}@{}", row["n_prompt"].get_int64().value(),
                                  row["n_gen"].get_int64().value(),
                                  row["n_depth"].get_int64().value()));
    }
    return tests;
  }

  FakeScript script;
  size_t n_loads_max = 1000;
  std::vector<engine::EngineOptions> loaded;
  std::stringstream in, out, err;
};

TEST(Bench, RunsAPromptAndAGenerationUnlessToldOtherwise) {
  BenchProgram program;
  ASSERT_EQ(program.Run({"-o", "json", "-r", "1"}), 0) << program.err.str();
  EXPECT_THAT(program.Tests(), ElementsAre("512+0@0", "0+128@0"));
  ASSERT_EQ(program.loaded.size(), 1);
  EXPECT_EQ(program.loaded[0].n_ctx, 512);
  EXPECT_EQ(program.loaded[0].prefill_chunk, 512);
  EXPECT_EQ(program.err.str(), "");
  // Warmed up: the prompt, and one token.
  EXPECT_THAT(program.script.appended, Contains(Pair(0, 512)).Times(2));
  EXPECT_THAT(program.script.appended, Contains(Pair(0, 1)).Times(2));
  EXPECT_THAT(program.script.appended, Contains(Pair(127, 1)).Times(1));
}

TEST(Bench, TakesListsAndCombinesThem) {
  BenchProgram program;
  ASSERT_EQ(
      program.Run({"-o",     "json", "-r",     "2",        "--no-warmup", "-p",   "4,8", "-p", "0",
                   "-n",     "0",    "-pg",    "16,2",     "-d",          "0,32", "-t",  "2",  "-m",
                   "a.gguf", "-m",   "b.gguf", "--memory", "1G,2G",       "-ub",  "64"}),
      0)
      << program.err.str();
  EXPECT_EQ(program.Tests().size(), 4 * 6);
  EXPECT_THAT(program.Tests(), Contains("16+2@32").Times(4));
  ASSERT_EQ(program.loaded.size(), 4);
  EXPECT_EQ(program.loaded[0].n_ctx, 32 + 18);
  EXPECT_EQ(program.loaded[0].model, "a.gguf");
  EXPECT_EQ(program.loaded[3].model, "b.gguf");
  EXPECT_EQ(program.loaded[0].n_threads, 2);
  EXPECT_EQ(program.loaded[1].memory->bytes, 2 * kGiB);
  EXPECT_EQ(program.loaded[0].prefill_chunk, 64);
  EXPECT_THAT(program.script.appended, Contains(Pair(0, 8)).Times(4 * 2));
  EXPECT_THAT(program.script.appended, Contains(Pair(32 + 16, 1)).Times(4 * 2));
}

TEST(Bench, KeepsWhatWasMeasuredBeforeAnError) {
  BenchProgram program;
  program.n_loads_max = 1;
  EXPECT_EQ(program.Run({"-o", "json", "-r", "1", "-p", "4", "-n", "0", "-t", "1,2"}), 4);
  EXPECT_THAT(program.Tests(), ElementsAre("4+0@0"));
  EXPECT_THAT(program.err.str(), StartsWith("error: "));
  EXPECT_THAT(program.err.str(), HasSubstr("raise the line with --memory 9M"));
}

TEST(Bench, SaysWhatItDoesWhenAskedTo) {
  BenchProgram program;
  EXPECT_EQ(program.Run({"-v", "-r", "1", "-p", "4", "-n", "0", "-d", "2"}), 0);
  for (const char* phase : {"measuring the machine", "pp4 @ d2: filling the depth",
                            "pp4 @ d2: warming up", "pp4 @ d2: 1 of 1"}) {
    EXPECT_THAT(program.err.str(), HasSubstr(phase));
  }
  EXPECT_THAT(program.out.str(), StartsWith("| model "));
}

TEST(Bench, RefusesWrongUsage) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"-p", "x"}, "--n-prompt: \"x\" is not a list"},
      {{"-p", "0", "-n", "0"}, "no test"},
      {{"-pg", "5"}, "--prompt-gen: \"5\" is not a pair"},
      {{"-o", "sql"}, "--output: \"sql\" is not one of"},
      {{"-r", "0"}, "--repetitions: 0 is out of range"},
      {{"-b", "0"}, "--prefill-chunk: 0 is out of range"},
      {{"--memory", "1G,many"}, "--memory: "},
      {{"--kernels", "sse9"}, "sse9"},
      {{"--repetition"}, "Did you mean --repetitions?"},
      {{"model.gguf"}, "unexpected argument"},
  };
  for (const auto& [args, message] : cases) {
    BenchProgram program;
    EXPECT_EQ(program.Run(args), 2);
    EXPECT_EQ(program.out.str(), "");
    EXPECT_THAT(program.err.str(), HasSubstr(message));
  }
}

TEST(Bench, HelpFitsAScreen) {
  BenchProgram program;
  EXPECT_EQ(program.Run({"--help"}), 0);
  for (std::string line; std::getline(program.out, line);) {
    EXPECT_LE(line.size(), 100U) << line;
  }
}

}  // namespace
}  // namespace plimsoll::cli
