#include "cli/tokenize_command.h"

#include <ostream>
#include <sstream>

#include "cli/find_model.h"
#include "cli/tokenize.h"

namespace plimsoll::cli {

Result<> TokenizeCommand(std::vector<std::string> args, const CommandContext& context) {
  TokenizeOptions options;
  std::optional<std::string> model;
  bool special_is_text = false;
  CommandLine line("tokenize",
                   "Print the token ids of a text (-p, or standard input to its end), or with\n"
                   "--decode the text of ids. A model's vocabulary alone is enough.",
                   "plimsoll tokenize [-m MODEL] [-p TEXT] [options]");
  std::vector<std::filesystem::path> folders;
  line.Text("-m,--model", "MODEL", "the model or its vocabulary (default: bundled)", model);
  AddModelsDirOption(line, folders);
  line.Text("-p,--prompt", "TEXT", "the text, or the ids with --decode", options.prompt);
  line.Flag("--decode", "ids to text", options.decode);
  line.Flag("--bos", "begin with BOS where the model has one", options.bos);
  line.Flag("--no-parse-special", "control tokens in the text are text", special_is_text);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (auto found = FindModel(model, folders, context); !found) {
    return found;
  }
  if (model) {
    options.model = *model;
  }
  options.parse_special = !special_is_text;
  if (!options.prompt && context.console.in_is_terminal) {
    context.console.err << "reading standard input to its end (Ctrl-D)" << std::endl;
  }
  std::ostringstream result;
  if (auto tokenized = Tokenize(options, context.console.in, result); !tokenized) {
    return tokenized;
  }
  return context.console.Write(result.str());
}

}  // namespace plimsoll::cli
