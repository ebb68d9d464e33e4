#include "cli/config_command.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json_text.h"
#include "base/suggest.h"
#include "cli/program.h"

namespace plimsoll::cli {
namespace {

constexpr std::string_view kConfigHelp =
    "Options from a file: ~/.config/plimsoll/config.toml, or the one that PLIMSOLL_CONFIG names.\n"
    "\n"
    "usage: plimsoll config show [--json]     what the file and the environment set\n"
    "       plimsoll config check [FILE]      whether every setting is an option, with such a "
    "value\n"
    "\n"
    "The command line beats the environment, the environment the file, and the file what is built\n"
    "in. What stands outside a table is for every command that has the option:\n"
    "\n"
    "  memory = \"8G\"\n"
    "  threads = 2\n"
    "  [run]\n"
    "  temp = 0.7\n"
    "  [eval.logits]\n"
    "  top = 5\n"
    "\n"
    "plimsoll run reads the file again on SIGHUP and moves the line to what it says then.\n";

struct Asked {
  std::string action;
  std::optional<std::string> file;
  bool json = false;
};

Result<Asked> ParseArguments(std::vector<std::string> args) {
  const std::array<std::string, 2> actions = {"show", "check"};
  Asked asked;
  for (std::string& arg : args) {
    if (asked.action.empty()) {
      if (std::ranges::find(actions, arg) == actions.end()) {
        return Fail(ErrorKind::kUsage, "unknown command config {}.{}\nThere are: show, check.", arg,
                    DidYouMean(arg, actions));
      }
      asked.action = std::move(arg);
    } else if (asked.action == "show" && arg == "--json") {
      asked.json = true;
    } else if (asked.action == "check" && !asked.file && !arg.starts_with('-')) {
      asked.file = std::move(arg);
    } else {
      return Fail(ErrorKind::kUsage, "config {} does not take \"{}\"; plimsoll config --help",
                  asked.action, arg);
    }
  }
  if (asked.action.empty()) {
    return Fail(ErrorKind::kUsage, "config what? show or check");
  }
  return asked;
}

std::string ValueText(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) {
    text += (text.empty() ? "" : ", ") + TerminalSafe(value);
  }
  return text;
}

// What is set to the same from the same place, for several commands at once.
struct SharedRow {
  OptionSurvey::Given given;
  std::string commands;
};

std::vector<SharedRow> SharedRowsOf(const OptionSurvey& survey) {
  std::vector<SharedRow> rows;
  for (const OptionSurvey::Given& given : survey.given) {
    const auto same = std::ranges::find_if(rows, [&](const SharedRow& row) {
      return row.given.option == given.option && row.given.origin == given.origin;
    });
    if (same != rows.end()) {
      same->commands += ", " + given.command;
    } else {
      rows.push_back({given, given.command});
    }
  }
  return rows;
}

std::string ShowText(const Settings& settings, const OptionSurvey& survey) {
  std::string text = settings.path().empty() ? std::string("There is no settings file.\n")
                                             : settings.path().string() + "\n";
  if (survey.given.empty()) {
    return text + "Nothing is set: every option has its built-in value.\n";
  }
  for (const SharedRow& row : SharedRowsOf(survey)) {
    text += fmt::format("\n{} {}\n    from {}{}\n    for {}\n", row.given.option,
                        ValueText(row.given.values), row.given.origin,
                        row.given.beaten.empty() ? "" : ", which beats " + row.given.beaten,
                        row.commands);
  }
  return text;
}

std::string ShowJson(const Settings& settings, const OptionSurvey& survey) {
  JsonText json;
  json.BeginObject().Key("schema_version").Number(1);
  json.Key("file").String(settings.path().string());
  json.Key("options").BeginArray();
  for (const OptionSurvey::Given& given : survey.given) {
    json.BeginObject();
    json.Key("command").String(given.command);
    json.Key("option").String(given.option);
    json.Key("values").BeginArray();
    for (const std::string& value : given.values) {
      json.String(value);
    }
    json.EndArray();
    json.Key("origin").String(given.origin);
    json.EndObject();
  }
  json.EndArray().EndObject();
  return json.text() + "\n";
}

std::string CheckText(const Settings& settings) {
  if (settings.path().empty()) {
    return "There is no settings file, and no place to look for one.\n";
  }
  if (settings.all().empty()) {
    return fmt::format("{} sets nothing, or is not there.\n", settings.path().string());
  }
  return fmt::format("{}: {} {} sound.\n", settings.path().string(), settings.all().size(),
                     settings.all().size() == 1 ? "setting is" : "settings are");
}

}  // namespace

Result<> ConfigCommand(std::vector<std::string> args, const CommandContext& context) {
  if (!args.empty() && (args[0] == "-h" || args[0] == "--help")) {
    return context.console.Write(kConfigHelp);
  }
  auto asked = ParseArguments(std::move(args));
  if (!asked) {
    return Forward(asked);
  }
  CommandContext about = context;
  if (asked->file) {
    about.settings_file = SettingsFile{.path = *asked->file, .must_exist = true};
  }
  OptionSurvey survey;
  auto settings = ReadSettings(about, &survey);
  if (!settings) {
    return Forward(settings);
  }
  if (asked->action == "check") {
    return context.console.Write(CheckText(*settings));
  }
  return context.console.Write(asked->json ? ShowJson(*settings, survey)
                                           : ShowText(*settings, survey));
}

}  // namespace plimsoll::cli
