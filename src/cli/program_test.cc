#include "cli/program.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_engine.h"

namespace plimsoll::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Runs the program over a scripted engine.
struct Program {
  int Run(std::vector<std::string> args) {
    in.clear();
    const Console console = {.in = in, .out = out, .err = err, .in_is_piped = piped};
    const auto load = [this](const engine::EngineOptions& options,
                             const engine::Engine::ProgressFn&) {
      script.loaded = options;
      if (script.load_error) {
        return Result<std::unique_ptr<engine::Engine>>(tl::unexpected(*script.load_error));
      }
      return Result<std::unique_ptr<engine::Engine>>(std::make_unique<FakeEngine>(script));
    };
    return RunProgram(
        std::move(args),
        {.console = console, .load = load, .interrupts = nullptr, .open_terminal = nullptr});
  }
  std::string Prompt() const { return FakeTokenizer().Decode(script.prompts.at(0), true); }

  FakeScript script;
  bool piped = false;
  std::stringstream in, out, err;
};

TEST(RunProgram, HelpFitsOneScreenAndListsOnlyWhatThereIs) {
  Program program;
  EXPECT_EQ(program.Run({"--help"}), 0);
  const std::string help = program.out.str();
  EXPECT_LE(std::count(help.begin(), help.end(), '\n'), 30);
  EXPECT_THAT(help, HasSubstr("\n  run "));
  for (const char* later : {"pull", "ps", "login"}) {
    EXPECT_THAT(help, Not(HasSubstr(later)));
  }
  for (std::string line; std::getline(program.out, line);) {
    EXPECT_LE(line.size(), 90U) << line;
  }
}

TEST(RunProgram, HelpOfACommandFitsAScreenToo) {
  Program program;
  EXPECT_EQ(program.Run({"run", "--help"}), 0);
  EXPECT_LE(std::ranges::count(program.out.str(), '\n'), 63);
  for (std::string line; std::getline(program.out, line);) {
    EXPECT_LE(line.size(), 100U) << line;
  }
}

TEST(RunProgram, UsageErrorsExitWith2AndSayWhatWasMeant) {
  const auto error = [](std::vector<std::string> args) {
    Program program;
    EXPECT_EQ(program.Run(std::move(args)), 2);
    EXPECT_EQ(program.out.str(), "");
    return program.err.str();
  };
  EXPECT_THAT(error({}), HasSubstr("usage: plimsoll"));
  EXPECT_THAT(error({"rnu"}),
              HasSubstr("error: unknown command rnu, and no file of that name. Did you mean run?"));
  EXPECT_THAT(error({"--vresion"}), HasSubstr("Did you mean --version?"));
  EXPECT_THAT(error({"run", "--tepm", "1"}),
              HasSubstr("error: unknown option --tepm. Did you mean --temp?"));
  EXPECT_THAT(error({"run"}), HasSubstr("no prompt"));
  EXPECT_THAT(error({"run", "-p", ""}), HasSubstr("the prompt is empty"));
  EXPECT_THAT(error({"run", "-p", "x", "--temp", "-1"}), HasSubstr("temperature"));
  EXPECT_THAT(error({"run", "-p", "x", "-n", "0"}), HasSubstr("--predict"));
  EXPECT_THAT(error({"run", "-p", "x", "--memory", "lots"}), HasSubstr("--memory: \"lots\""));
  EXPECT_THAT(error({"run", "-p", "x", "--logit-bias", "5"}), HasSubstr("--logit-bias"));
  EXPECT_THAT(error({"run", "-p", "x", "-m", "a", "b"}), HasSubstr("two models"));
  EXPECT_THAT(error({"run", "-p", "x", "--color", "red"}), HasSubstr("auto, always, never"));
  EXPECT_THAT(error({"run", "-p", "x", "-j", "{}", "--grammar", "root ::= \"a\""}),
              HasSubstr("--grammar and --json-schema"));
  EXPECT_THAT(error({"run", "-p", "x", "-jf", "/dev/null"}),
              HasSubstr("'--json-schema-file /dev/null' cannot be followed"));
  EXPECT_THAT(error({"inspect"}), HasSubstr("which model?"));
  EXPECT_THAT(error({"eval"}), HasSubstr("eval what?"));
  EXPECT_THAT(error({"eval", "logit"}), HasSubstr("Did you mean logits?"));
  EXPECT_THAT(error({"eval", "logits"}), HasSubstr("no ids"));
  EXPECT_THAT(error({"eval", "logits", "--ids", "1,x"}), HasSubstr("\"x\""));
  EXPECT_THAT(error({"eval", "logits", "--ids", "1,999999"}), HasSubstr("token 999999 at place 1"));
  EXPECT_THAT(error({"eval", "perplexity"}), HasSubstr("no text"));
  EXPECT_THAT(error({"eval", "imatrix", "-f", "text.txt"}), HasSubstr("where to?"));
}

TEST(RunProgram, TheKindOfAnErrorIsTheExitCode) {
  for (const auto kind :
       {ErrorKind::kFailed, ErrorKind::kBadModel, ErrorKind::kDoesNotFit, ErrorKind::kIo}) {
    Program program;
    program.script.load_error = Error{kind, "because"};
    EXPECT_EQ(program.Run({"run", "-p", "x"}), static_cast<int>(kind));
    EXPECT_EQ(program.err.str(), "error: because\n");
  }
}

TEST(RunCommand, AnswersAPromptThroughTheTemplate) {
  Program program;
  program.script.answers = {"Paris."};
  EXPECT_EQ(program.Run({"run", "-p", "Capital?", "--system", "Be brief."}), 0);
  EXPECT_EQ(program.out.str(), "Paris.");
  EXPECT_EQ(program.Prompt(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nCapital?<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_THAT(program.err.str(), HasSubstr("prefill "));
  EXPECT_THAT(program.err.str(), HasSubstr("decode 7 tokens"));
  EXPECT_THAT(program.err.str(), HasSubstr("memory "));
}

TEST(RunCommand, QuietLeavesOnlyTheAnswer) {
  Program program;
  program.script.answers = {"a"};
  EXPECT_EQ(program.Run({"run", "-q", "-p", "x"}), 0);
  EXPECT_EQ(program.err.str(), "");
}

TEST(RunCommand, RawContinuesTheText) {
  Program program;
  program.script.answers = {" world"};
  EXPECT_EQ(program.Run({"run", "--raw", "-p", "hello"}), 0);
  EXPECT_EQ(program.Prompt(), "hello");
}

TEST(RunCommand, AModelMayComeWithoutACommand) {
  Program program;
  program.script.answers = {"a"};
  EXPECT_EQ(program.Run({"some/model.gguf", "-p", "x"}), 0);
  EXPECT_EQ(program.script.loaded.model, "some/model.gguf");
}

TEST(RunCommand, ReadsWhatIsPipedBehindThePrompt) {
  Program program;
  program.script.answers = {"a", "b"};
  program.piped = true;
  program.in << "line 1\nline 2\n";
  EXPECT_EQ(program.Run({"run", "--raw", "-p", "Sum up:"}), 0);
  EXPECT_EQ(program.Prompt(), "Sum up:\nline 1\nline 2");
  program.in.str("only this");
  EXPECT_EQ(program.Run({"run", "--raw"}), 0);
  EXPECT_EQ(FakeTokenizer().Decode(program.script.prompts.at(1), true), "only this");
}

TEST(RunCommand, ReadsAFileAndSaysWhichIsMissing) {
  const std::string path = testing::TempDir() + "/prompt.txt";
  std::ofstream(path) << "from a file\n";
  Program program;
  program.script.answers = {"a"};
  EXPECT_EQ(program.Run({"run", "--raw", "-f", path}), 0);
  EXPECT_EQ(program.Prompt(), "from a file");
  EXPECT_EQ(program.Run({"run", "-f", path + ".missing"}), 5);
  EXPECT_THAT(program.err.str(), HasSubstr(path + ".missing: No such file"));
  EXPECT_EQ(program.Run({"run", "-f", testing::TempDir()}), 5);
}

TEST(RunCommand, PassesEveryOptionOn) {
  Program program;
  program.script.answers = {"a"};
  EXPECT_EQ(program.Run({"run",
                         "-p",
                         "x",
                         "-n",
                         "7",
                         "--temp",
                         "0.5",
                         "--top-k",
                         "3",
                         "--top-p",
                         "0.5",
                         "--min-p",
                         "0.25",
                         "--repeat-penalty",
                         "1.5",
                         "--repeat-last-n",
                         "-1",
                         "--presence-penalty",
                         "0.5",
                         "--frequency-penalty",
                         "-0.5",
                         "--logit-bias",
                         "5-inf",
                         "--logit-bias",
                         "6+1.5",
                         "--seed",
                         "18446744073709551615",
                         "--stop",
                         "A",
                         "-r",
                         "B",
                         "--ignore-eos",
                         "-c",
                         "64",
                         "-t",
                         "2",
                         "--kernels",
                         "ref",
                         "--batch",
                         "9",
                         "--memory",
                         "2G"}),
            0);
  const engine::GenerateOptions& options = program.script.options.at(0);
  const sampling::SamplerParams& sampling = options.sampling;
  EXPECT_EQ(options.n_predict, 7U);
  EXPECT_TRUE(options.ignore_end);
  EXPECT_THAT(options.stop, ElementsAre("A", "B"));
  EXPECT_EQ(sampling.temperature, 0.5F);
  EXPECT_EQ(sampling.top_k, 3);
  EXPECT_EQ(sampling.top_p, 0.5F);
  EXPECT_EQ(sampling.min_p, 0.25F);
  EXPECT_EQ(sampling.repeat_penalty, 1.5F);
  EXPECT_EQ(sampling.repeat_last_n, -1);
  EXPECT_EQ(sampling.presence_penalty, 0.5F);
  EXPECT_EQ(sampling.frequency_penalty, -0.5F);
  EXPECT_EQ(sampling.seed, ~uint64_t{0});
  EXPECT_THAT(sampling.logit_bias, ElementsAre(std::pair(5, -INFINITY), std::pair(6, 1.5F)));
  EXPECT_EQ(program.script.loaded.n_ctx, 64U);
  EXPECT_EQ(program.script.loaded.n_threads, 2U);
  EXPECT_EQ(program.script.loaded.kernels, "ref");
  EXPECT_EQ(program.script.loaded.prefill_chunk, 9U);
  EXPECT_EQ(program.script.loaded.memory->bytes, 2 * kGiB);
  EXPECT_EQ(program.script.loaded.model, std::nullopt);
}

TEST(RunCommand, KeysAndValuesHaveTheTypeThatIsAsked) {
  const auto loaded = [](std::vector<std::string> options) {
    Program program;
    program.script.answers = {"a"};
    options.insert(options.begin(), {"run", "-p", "x"});
    EXPECT_EQ(program.Run(std::move(options)), 0) << program.err.str();
    return program.script.loaded.kv.Text();
  };
  EXPECT_EQ(loaded({}), "f16");
  EXPECT_EQ(loaded({"--kv-type", "bf16"}), "bf16");
  EXPECT_EQ(loaded({"--kv-type", "q8", "--kv-type-layers", "0-1=f16,5=q4", "--kv-rotate"}),
            "q8, 0-1=f16, 5=q4, rotated");
  EXPECT_EQ(loaded({"-ctk", "q8_0", "-ctv", "q8_0"}), "q8");
  EXPECT_EQ(loaded({"--cache-type-k", "q4_0", "--cache-type-v", "q4_0", "--kv-type", "q4"}), "q4");

  Program windowed;
  windowed.script.answers = {"a"};
  EXPECT_EQ(windowed.Run({"run", "-p", "x", "--kv-policy", "window", "--kv-budget", "25%"}), 0);
  EXPECT_EQ(windowed.script.loaded.kv_policy.Text(), "window 25%");
  EXPECT_EQ(windowed.Run({"run", "-p", "x", "--kv-policy", "window", "--kv-budget", "25%",
                          "--kv-positions", "compact", "--kv-reference", "prompt"}),
            0);
  EXPECT_EQ(windowed.script.loaded.kv_policy.Text(), "window 25% reference prompt compact");
  EXPECT_EQ(windowed.Run({"run", "-p", "x", "--kv-policy", "window", "--kv-budget", "25%",
                          "--kv-reference", "100"}),
            0);
  EXPECT_EQ(windowed.script.loaded.kv_policy.Text(), "window 25% reference 100");
  EXPECT_EQ(windowed.Run(
                {"run", "-p", "x", "--kv-policy", "arkv", "--kv-budget", "25%", "--kv-type", "q4"}),
            0);
  EXPECT_EQ(windowed.script.loaded.kv_policy.Text(), "arkv 25%");

  const auto refused = [](std::vector<std::string> options) {
    Program program;
    options.insert(options.begin(), {"run", "-p", "x"});
    EXPECT_EQ(program.Run(std::move(options)), 2);
    return program.err.str();
  };
  EXPECT_THAT(refused({"--kv-policy", "snip"}),
              HasSubstr("\"snip\" is not one of full, window, block, snap, arkv, episode"));
  EXPECT_THAT(refused({"--kv-policy", "window"}),
              HasSubstr("--kv-budget is wanted by the policy window: 25%"));
  EXPECT_THAT(refused({"--kv-budget", "25%"}), HasSubstr("goes with a policy"));
  EXPECT_THAT(refused({"--kv-positions", "compact"}),
              HasSubstr("--kv-positions goes with the policy window"));
  EXPECT_THAT(refused({"--kv-reference", "64"}),
              HasSubstr("--kv-reference goes with the policy window"));
  for (const char* wrong : {"0", "64k", "-1", "first", ""}) {
    EXPECT_THAT(refused({"--kv-reference", wrong}),
                HasSubstr("is neither prompt nor a number of tokens"));
  }
  EXPECT_THAT(refused({"--kv-positions", "moved"}), HasSubstr("is not one of kept, compact"));
  EXPECT_THAT(refused({"--kv-type", "q5_1"}),
              HasSubstr("--kv-type: \"q5_1\" is not one of f16, bf16, q8 (q8_0), q4 (q4_0)"));
  EXPECT_THAT(refused({"--kv-type-layers", "3=q9"}), HasSubstr("\"q9\" is not one of"));
  EXPECT_THAT(refused({"--kv-type-layers", "q8"}), HasSubstr("as in 0-1=f16"));
  EXPECT_THAT(
      refused({"-ctk", "q8_0"}),
      HasSubstr("--cache-type-k q8 and --cache-type-v f16: keys and values are of one type"));
  EXPECT_THAT(refused({"--kv-type", "q4", "-ctk", "q8_0", "-ctv", "q8_0"}),
              HasSubstr("--kv-type q4 and --cache-type-k q8 say different things"));
}

TEST(RunCommand, HoldsAnAnswerToItsForm) {
  for (const auto& form :
       {std::pair("--grammar", R"(root ::= [0-9]+)"), std::pair("-j", R"({"type":"integer"})")}) {
    Program program;
    program.script.answers = {"42"};
    EXPECT_EQ(program.Run({"run", "-p", "x", form.first, form.second}), 0) << program.err.str();
    EXPECT_EQ(program.out.str(), "42");
    EXPECT_EQ(program.script.n_filtered, 1U);
  }
  Program program;
  program.script.answers = {"a"};
  EXPECT_EQ(program.Run({"run", "--raw", "-p", "x", "--json-schema={\"const\":1}"}), 1);
  EXPECT_THAT(program.err.str(), HasSubstr("'a' is not allowed"));
}

TEST(RunCommand, JsonHoldsTextAndFigures) {
  Program program;
  program.script.answers = {"\"Hi\"\n"};
  EXPECT_EQ(program.Run({"run", "--json", "--seed", "5", "-n", "3", "-p", "x"}), 0);
  EXPECT_THAT(
      program.out.str(),
      StartsWith(R"({"schema_version":1,"model":"fake","text":"\"Hi","finish_reason":"length",)"
                 R"("seed":5,"kernels":"none","threads":1,"stats":{"prompt_tokens":)"));
  EXPECT_THAT(program.out.str(), HasSubstr(R"("generated_tokens":3,)"));
  EXPECT_THAT(program.out.str(),
              HasSubstr(R"("decode_tps":4,"ttft_s":0.5,"memory":{"budget_bytes":1024,)"));
  EXPECT_EQ(std::ranges::count(program.out.str(), '\n'), 1);
}

TEST(RunCommand, APromptTooLongIsRefusedWithBothNumbers) {
  Program program;
  program.script.n_ctx = 3;
  EXPECT_EQ(program.Run({"run", "--raw", "-p", "hello"}), 2);
  EXPECT_THAT(program.err.str(), HasSubstr("5 tokens do not fit a context of 3"));
}

TEST(RunCommand, AFullDiskIsAnIoError) {
  Program program;
  program.script.answers = {"abc"};
  program.out.setstate(std::ios::badbit);
  EXPECT_EQ(program.Run({"run", "-p", "x"}), 5);
  EXPECT_THAT(program.err.str(), HasSubstr("error: standard output"));
}

TEST(EvalLogits, PrintsTheBestLogprobsOfEachPosition) {
  Program program;
  EXPECT_EQ(program.Run({"eval", "logits", "--ids", "5, 9", "--top", "3"}), 0);
  EXPECT_EQ(program.script.loaded.n_ctx, 2U);
  std::string line;
  std::getline(program.out, line);
  // Logits 0, -1, -1, -2, -2, ...: ties go to the lower id, and the sum is nearly 1 + 2 / (e - 1).
  EXPECT_THAT(line, StartsWith("{\"pos\":0,\"top\":[[6,-0.77"));
  EXPECT_THAT(line, HasSubstr("],[5,-1.77"));
  EXPECT_THAT(line, HasSubstr("],[7,-1.77"));
  std::getline(program.out, line);
  EXPECT_THAT(line, StartsWith("{\"pos\":1,\"top\":[[10,"));
  EXPECT_FALSE(std::getline(program.out, line));
}

TEST(EvalLogits, FullPrintsEveryLogitAndIdsMayComeFromStandardInput) {
  Program program;
  program.in << "1\n 2 ";
  EXPECT_EQ(program.Run({"eval", "logits", "--ids", "-", "--full"}), 0);
  EXPECT_THAT(program.out.str(), StartsWith("{\"pos\":0,\"logits\":[-2,-1,0,-1,-2,"));
  EXPECT_EQ(std::ranges::count(program.out.str(), '\n'), 2);
}

TEST(EvalPerplexity, ScoresTheSecondHalfOfEachChunk) {
  // In "abcdefgh..." every next token is the likeliest: its loss is ln(1 + 2/(e - 1)) up to the
  // edges.
  std::string text;
  for (int i = 0; i < 40; ++i) text += static_cast<char>('0' + i);
  Program program;
  program.in << text << "\n";
  EXPECT_EQ(program.Run({"eval", "perplexity", "-", "-c", "16", "--json"}), 0);
  const double perplexity = 1 + 2 / (std::exp(1.0) - 1);
  EXPECT_THAT(program.out.str(), HasSubstr("\"n_ctx\":16,\"chunks\":2,\"tokens\":14,"));
  const std::string out = program.out.str();
  const size_t at = out.find("\"perplexity\":") + 13;
  EXPECT_NEAR(std::stod(out.substr(at)), perplexity, 1e-9);
  EXPECT_EQ(program.script.n_truncated_to_0, 2U);
}

TEST(EvalPerplexity, SaysHowMuchTextAChunkNeeds) {
  Program program;
  program.in << "short";
  EXPECT_EQ(program.Run({"eval", "perplexity", "-"}), 2);
  EXPECT_THAT(program.err.str(), HasSubstr("5 tokens, and one chunk needs 512"));
}

}  // namespace
}  // namespace plimsoll::cli
