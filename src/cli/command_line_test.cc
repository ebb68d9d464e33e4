#include "cli/command_line.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// One option of each kind.
struct Fixture {
  Fixture() {
    line.Topic("Model");
    line.Text("-m,--model", "FILE", "the model", model);
    line.Integer("-c,--ctx-size", "context", ctx_size, 0, 1000);
    line.Topic("Sampling");
    line.Real("--temp,--temperature", "temperature", temp);
    line.Repeated("--stop,-r,--reverse-prompt", "TEXT", "stop here",
                  [this](const std::string& value) -> Result<> {
                    stops.push_back(value);
                    return {};
                  });
    line.Text("-sys,--system", "TEXT", "system prompt", system);
    line.Flag("--raw", "no template", raw);
    line.Positional("FILE", "an argument", file);
  }

  std::string Error(std::vector<std::string> args) {
    auto outcome = line.Parse(std::move(args));
    if (outcome) return "accepted";
    EXPECT_EQ(outcome.error().kind, ErrorKind::kUsage);
    return outcome.error().message;
  }

  CommandLine line{"demo", "Shows options.", "plimsoll demo [options] [FILE]"};
  std::optional<std::string> model;
  std::optional<std::string> file;
  std::string system;
  uint32_t ctx_size = 7;
  float temp = 0.8F;
  bool raw = false;
  std::vector<std::string> stops;
};

TEST(CommandLine, ReadsEveryForm) {
  Fixture f;
  ASSERT_TRUE(f.line.Parse({"-m", "a.gguf", "--ctx-size=12", "--raw", "--stop", "x", "-r", "-y",
                            "--temperature", "-0.5", "-sys", "be brief", "input"}));
  EXPECT_EQ(f.model, "a.gguf");
  EXPECT_EQ(f.ctx_size, 12U);
  EXPECT_TRUE(f.raw);
  EXPECT_THAT(f.stops, ElementsAre("x", "-y"));
  EXPECT_EQ(f.temp, -0.5F);
  EXPECT_EQ(f.system, "be brief");
  EXPECT_EQ(f.file, "input");
}

TEST(CommandLine, OptionsNotGivenKeepTheirValue) {
  Fixture f;
  ASSERT_TRUE(f.line.Parse({}));
  EXPECT_EQ(f.ctx_size, 7U);
  EXPECT_EQ(f.temp, 0.8F);
  EXPECT_EQ(f.model, std::nullopt);
}

TEST(CommandLine, ValuesAreTakenAsTheyAre) {
  for (const char* text : {"", "--raw", "-m", "--", "[1, 2]", "{}", "a=b", "%x", "-", "--help"}) {
    Fixture f;
    ASSERT_TRUE(f.line.Parse({"--system", text})) << text;
    EXPECT_EQ(f.system, text);
    Fixture g;
    ASSERT_TRUE(g.line.Parse({std::string("--system=") + text})) << text;
    EXPECT_EQ(g.system, text);
    EXPECT_FALSE(g.raw);
  }
}

TEST(CommandLine, TheLastOfTwoCounts) {
  Fixture f;
  ASSERT_TRUE(f.line.Parse({"-c", "1", "-c", "2", "--ctx-size", "3"}));
  EXPECT_EQ(f.ctx_size, 3U);
}

TEST(CommandLine, AfterTwoDashesNothingIsAnOption) {
  Fixture f;
  ASSERT_TRUE(f.line.Parse({"--", "--raw"}));
  EXPECT_EQ(f.file, "--raw");
  EXPECT_FALSE(f.raw);
}

TEST(CommandLine, EnvironmentStandsInAndTheCommandLineBeatsIt) {
  ::setenv("PLIMSOLL_CTX_SIZE", "99", 1);
  ::setenv("PLIMSOLL_RAW", "on", 1);
  ::setenv("PLIMSOLL_STOP", "env", 1);
  Fixture f;
  ASSERT_TRUE(f.line.Parse({"--stop", "given"}));
  EXPECT_EQ(f.ctx_size, 99U);
  EXPECT_TRUE(f.raw);
  EXPECT_THAT(f.stops, ElementsAre("given"));
  Fixture g;
  ASSERT_TRUE(g.line.Parse({"-c", "5", "--raw=false"}));
  EXPECT_EQ(g.ctx_size, 5U);
  EXPECT_FALSE(g.raw);
  ::setenv("PLIMSOLL_CTX_SIZE", "many", 1);
  EXPECT_THAT(Fixture().Error({}), HasSubstr("PLIMSOLL_CTX_SIZE: \"many\""));
  ::unsetenv("PLIMSOLL_CTX_SIZE");
  ::unsetenv("PLIMSOLL_RAW");
  ::unsetenv("PLIMSOLL_STOP");
}

TEST(CommandLine, RefusalsNameTheOptionAndWhatWasMeant) {
  EXPECT_THAT(Fixture().Error({"--tmep", "1"}),
              HasSubstr("unknown option --tmep. Did you mean --temp?"));
  EXPECT_THAT(Fixture().Error({"--ctxsize=4"}), HasSubstr("Did you mean --ctx-size?"));
  EXPECT_THAT(Fixture().Error({"-x"}), HasSubstr("unknown option -x"));
  EXPECT_THAT(Fixture().Error({"one", "two"}), HasSubstr("\"two\""));
  EXPECT_THAT(Fixture().Error({"-c", "4x"}), HasSubstr("--ctx-size: \"4x\" is not a whole number"));
  EXPECT_THAT(Fixture().Error({"-c", "1001"}), HasSubstr("from 0 to 1000"));
  EXPECT_THAT(Fixture().Error({"-c", "99999999999999999999"}), HasSubstr("from 0 to 1000"));
  EXPECT_THAT(Fixture().Error({"-c"}), HasSubstr("--ctx-size"));
  EXPECT_THAT(Fixture().Error({"--temp", "nan"}), HasSubstr("--temp: \"nan\" is not a number"));
}

TEST(CommandLine, HelpListsEveryOptionUnderItsTopic) {
  Fixture f;
  auto outcome = f.line.Parse({"--temp", "1", "--help", "--nonsense"});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, CommandLine::Outcome::kHelp);
  const std::string help = f.line.Help();
  EXPECT_THAT(help, HasSubstr("\nModel:\n  -m, --model FILE"));
  EXPECT_THAT(help, HasSubstr("\nSampling:\n      --temp X"));
  EXPECT_THAT(help, HasSubstr("      --raw "));
  EXPECT_THAT(help, HasSubstr("usage: plimsoll demo [options] [FILE]"));
}

TEST(ParseReal, ReadsSignsAndInfinities) {
  EXPECT_EQ(ParseReal("+1.5"), 1.5F);
  EXPECT_EQ(ParseReal("-inf"), -std::numeric_limits<float>::infinity());
  EXPECT_FALSE(ParseReal(""));
  EXPECT_FALSE(ParseReal("1.5x"));
}

}  // namespace
}  // namespace plimsoll::cli
