#include "cli/eval.h"

#include <array>

#include "base/suggest.h"

namespace plimsoll::cli {
namespace {

struct Evaluation {
  std::string_view name;
  std::string_view summary;
  CommandFn command;
};

constexpr std::array<Evaluation, 5> kEvaluations = {{
    {"logits", "the logits, or the best log-probabilities, after every token", EvalLogitsCommand},
    {"perplexity", "how well the model predicts a text", EvalPerplexityCommand},
    {"imatrix", "what enters each matrix, for quantize --imatrix", EvalImatrixCommand},
    {"recall", "whether it finds again what it was told, over turns and requests",
     EvalRecallCommand},
    {"suite", "the same and more: what a way to keep keys and values costs", EvalSuiteCommand},
}};

std::string EvalHelp() {
  std::string help = "Measure a model.\n\nusage: plimsoll eval COMMAND [options]\n\nCommands:\n";
  for (const Evaluation& evaluation : kEvaluations) {
    help += fmt::format("  {:<12} {}\n", evaluation.name, evaluation.summary);
  }
  return help + "\nplimsoll eval COMMAND --help lists the options of one.\n";
}

}  // namespace

Result<> EvalCommand(std::vector<std::string> args, const CommandContext& context) {
  const std::string name = args.empty() ? "" : args.front();
  if (name == "-h" || name == "--help") {
    return context.console.Write(EvalHelp());
  }
  std::vector<std::string> names;
  for (const Evaluation& evaluation : kEvaluations) {
    if (name == evaluation.name) {
      args.erase(args.begin());
      return evaluation.command(std::move(args), context);
    }
    names.emplace_back(evaluation.name);
  }
  if (name.empty()) {
    return Fail(ErrorKind::kUsage, "eval what? {}", fmt::join(names, " or "));
  }
  return Fail(ErrorKind::kUsage, "unknown command eval {}.{}\nThere are: {}.", name,
              DidYouMean(name, names), fmt::join(names, ", "));
}

}  // namespace plimsoll::cli
