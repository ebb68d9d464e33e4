#include "cli/command_line.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/invariant.h"
#include "base/suggest.h"

namespace plimsoll::cli {
namespace {

constexpr size_t kHelpColumn = 30;

std::string EnvironmentName(std::string_view long_name) {
  std::string name = "PLIMSOLL_";
  for (const char c : long_name.substr(2)) {
    name.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return name;
}

// Null when the variable is not set, or empty.
const char* FromEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr || *value == '\0' ? nullptr : value;
}

// A name such as -sys, which a parser would read as -s -y -s.
bool IsLongShortName(std::string_view name) {
  return name.size() > 2 && name[0] == '-' && name[1] != '-';
}

}  // namespace

struct CommandLine::Parser {
  CLI::App app;
};

struct CommandLine::Entry {
  std::vector<std::string> names;
  std::string long_name;   // the first long one; of a positional argument its value name
  std::string value_name;  // empty: a flag
  std::string help;
  std::string topic;
  bool is_positional = false;
  bool is_repeated = false;
  Setter setter;
  CLI::Option* option = nullptr;
  Origin origin = Origin::kBuiltIn;

  [[nodiscard]] bool is_flag() const { return value_name.empty(); }
  [[nodiscard]] bool Has(std::string_view name) const {
    return std::find(names.begin(), names.end(), name) != names.end();
  }
};

CommandLine::CommandLine(std::string name, std::string summary, std::string usage)
    : name_(std::move(name)),
      summary_(std::move(summary)),
      usage_(std::move(usage)),
      parser_(std::make_unique<Parser>()) {
  parser_->app.allow_extras();
  parser_->app.set_help_flag();
}

CommandLine::~CommandLine() = default;

void CommandLine::Topic(std::string heading) { topic_ = std::move(heading); }

CommandLine::Entry& CommandLine::Declare(std::string_view names, std::string_view value_name,
                                         std::string_view help) {
  Entry entry;
  entry.names = SplitAtCommas(names);
  entry.value_name = value_name;
  entry.help = help;
  entry.topic = topic_;
  std::string parser_names;
  for (const std::string& name : entry.names) {
    if (entry.long_name.empty() && name.starts_with("--")) {
      entry.long_name = name;
    }
    if (!IsLongShortName(name)) {
      parser_names += (parser_names.empty() ? "" : ",") + name;
    }
  }
  if (value_name.empty()) {
    entry.option = parser_->app.add_flag(parser_names);
  } else {
    entry.option =
        parser_->app.add_option(parser_names, [](const CLI::results_t&) { return true; });
    entry.option->expected(1);
  }
  entry.option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  return entries_.emplace_back(std::move(entry));
}

void CommandLine::Option(std::string_view names, std::string_view value_name, std::string_view help,
                         Setter setter) {
  Declare(names, value_name, help).setter = std::move(setter);
}

void CommandLine::Repeated(std::string_view names, std::string_view value_name,
                           std::string_view help, Setter setter) {
  Entry& entry = Declare(names, value_name, help);
  entry.is_repeated = true;
  entry.option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  entry.setter = std::move(setter);
}

void CommandLine::Flag(std::string_view names, std::string_view help, bool& target) {
  Declare(names, "", help).setter = [&target](const std::string& value) -> Result<> {
    auto parsed = ParseBool(value);
    if (!parsed) {
      return Forward(parsed);
    }
    target = *parsed;
    return {};
  };
}

void CommandLine::Text(std::string_view names, std::string_view value_name, std::string_view help,
                       std::string& target) {
  Option(names, value_name, help, [&target](const std::string& value) -> Result<> {
    target = value;
    return {};
  });
}

void CommandLine::Text(std::string_view names, std::string_view value_name, std::string_view help,
                       std::optional<std::string>& target) {
  Option(names, value_name, help, [&target](const std::string& value) -> Result<> {
    target = value;
    return {};
  });
}

void CommandLine::Real(std::string_view names, std::string_view help, float& target) {
  Option(names, "X", help, [&target](const std::string& value) -> Result<> {
    auto number = ParseReal(value);
    if (!number) {
      return Forward(number);
    }
    target = *number;
    return {};
  });
}

void CommandLine::Positional(std::string_view value_name, std::string_view help,
                             std::optional<std::string>& target) {
  Text(value_name, value_name, help, target);
  entries_.back().is_positional = true;
  entries_.back().long_name = value_name;
}

Result<CommandLine::Outcome> CommandLine::Parse(std::vector<std::string> args,
                                                const OptionSources& sources) {
  if (sources.survey != nullptr) {
    for (const Entry& entry : entries_) {
      if (auto asked = Survey(entry, sources); !asked) {
        return Forward(asked);
      }
    }
    return Outcome::kHelp;
  }
  // What our names allow and the parser does not: -sys TEXT, and --name= for an empty value.
  for (size_t i = 0; i < args.size() && args[i] != "--"; ++i) {
    if (args[i] == "-h" || args[i] == "--help") {
      return Outcome::kHelp;
    }
    const size_t equals = args[i].find('=');
    const std::string name = args[i].substr(0, equals);
    const auto entry =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.Has(name); });
    if (entry == entries_.end() || entry->is_flag()) {
      continue;
    }
    if (equals != std::string::npos) {
      args.insert(args.begin() + static_cast<ptrdiff_t>(i) + 1, args[i].substr(equals + 1));
    }
    args[i] = IsLongShortName(name) ? entry->long_name : name;
    ++i;  // the value is not an option, whatever it looks like
  }
  std::reverse(args.begin(), args.end());  // as CLI11 takes them
  try {
    parser_->app.parse(std::move(args));
  } catch (const CLI::ArgumentMismatch& mismatch) {
    return Fail(ErrorKind::kUsage, "{}", mismatch.what());
  } catch (const CLI::ParseError& failure) {
    return Fail(ErrorKind::kUsage, "{}", failure.what());
  }
  if (auto known = RefuseUnknown(); !known) {
    return Forward(known);
  }
  for (Entry& entry : entries_) {
    if (auto applied = Apply(entry, sources.settings); !applied) {
      return Forward(applied);
    }
  }
  return Outcome::kRun;
}

Result<> CommandLine::RefuseUnknown() const {
  std::vector<std::string> extras = parser_->app.remaining();
  std::erase(extras, "--");  // the mark that ended the options
  if (extras.empty()) {
    return {};
  }
  const auto option = std::find_if(extras.begin(), extras.end(), [](const std::string& extra) {
    return extra.size() > 1 && extra[0] == '-';
  });
  if (option == extras.end()) {
    return Fail(ErrorKind::kUsage,
                "unexpected argument \"{}\"; plimsoll {} --help lists what it takes",
                extras.front(), name_);
  }
  const std::string name = option->substr(0, option->find('='));
  std::vector<std::string> names = LongNames();
  return Fail(ErrorKind::kUsage, "unknown option {}.{}\nplimsoll {} --help lists the options.",
              name, DidYouMean(name, names), name_);
}

Result<> CommandLine::Apply(Entry& entry, const Settings* settings) const {
  std::string source = entry.long_name;
  std::vector<std::string> values = entry.option->results();
  entry.origin = values.empty() ? Origin::kBuiltIn : Origin::kArguments;
  if (values.empty() && !entry.is_positional) {
    source = EnvironmentName(entry.long_name);
    if (const char* value = FromEnvironment(source)) {
      values = {value};
      entry.origin = Origin::kEnvironment;
    }
  }
  if (values.empty() && !entry.is_positional && settings != nullptr) {
    const auto found = settings->Find(name_, entry.names);
    if (!found.empty()) {
      entry.origin = Origin::kSettings;
      return ApplySetting(entry, *found.front(), *settings);
    }
  }
  if (!entry.is_repeated && values.size() > 1) {
    values.erase(values.begin(), values.end() - 1);
  }
  for (const std::string& value : values) {
    if (auto set = entry.setter(value); !set) {
      return Fail(set.error().kind, "{}: {}", source, set.error().message);
    }
  }
  return {};
}

Result<> CommandLine::ApplySetting(const Entry& entry, const Setting& setting,
                                   const Settings& settings) const {
  if (!entry.is_repeated && setting.values.size() != 1) {
    return Fail(ErrorKind::kUsage, "{}: {} takes one value, not a list", settings.Place(setting),
                setting.key);
  }
  for (const std::string& value : setting.values) {
    if (auto set = entry.setter(value); !set) {
      return Fail(ErrorKind::kUsage, "{}: {}: {}", settings.Place(setting), setting.key,
                  set.error().message);
    }
  }
  return {};
}

Result<> CommandLine::Survey(const Entry& entry, const OptionSources& sources) const {
  if (entry.is_positional) {
    return {};
  }
  OptionSurvey& survey = *sources.survey;
  for (const std::string& name : entry.names) {
    if (name.starts_with("--")) {
      survey.option_names.insert(name.substr(2));
    }
  }
  std::vector<const Setting*> found;
  if (sources.settings != nullptr) {
    found = sources.settings->Find(name_, entry.names);
  }
  for (const Setting* setting : found) {
    survey.known.insert(setting);
    if (auto tried = ApplySetting(entry, *setting, *sources.settings); !tried) {
      return tried;
    }
  }
  const std::string variable = EnvironmentName(entry.long_name);
  const char* const value = FromEnvironment(variable);
  const std::string place = found.empty() ? "" : sources.settings->Place(*found.front());
  if (value != nullptr) {
    survey.given.push_back({name_, entry.long_name, {value}, variable, place});
  } else if (!found.empty()) {
    survey.given.push_back({name_, entry.long_name, found.front()->values, place, ""});
  }
  return {};
}

CommandLine::Origin CommandLine::OriginOf(std::string_view long_name) const {
  const auto entry = std::ranges::find(entries_, long_name, &Entry::long_name);
  Invariant(entry != entries_.end(), "an option that is asked for was declared");
  return entry->origin;
}

std::string CommandLine::Help() const {
  std::string help = fmt::format("{}\n\nusage: {}\n", summary_, usage_);
  std::string topic;
  for (const Entry& entry : entries_) {
    if (entry.help.empty()) {
      continue;
    }
    if (entry.topic != topic) {
      topic = entry.topic;
      help += fmt::format("\n{}:\n", topic);
    }
    std::string names;
    if (entry.is_positional) {
      names = entry.value_name;
    } else {
      const std::string& first = entry.names.front();
      names = first == entry.long_name ? "    " + first : first + ", " + entry.long_name;
      names += entry.is_flag() ? "" : " " + entry.value_name;
    }
    help += fmt::format("  {:<{}} {}\n", names, kHelpColumn, entry.help);
  }
  help +=
      "\nEach option may also come from the environment (--ctx-size is PLIMSOLL_CTX_SIZE) or from\n"
      "config.toml (ctx-size = 4096).\n";
  return help;
}

std::vector<std::string> CommandLine::LongNames() const {
  std::vector<std::string> names = {"--help"};
  for (const Entry& entry : entries_) {
    std::copy_if(entry.names.begin(), entry.names.end(), std::back_inserter(names),
                 [](const std::string& name) { return name.starts_with("--"); });
  }
  return names;
}

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    parts.emplace_back(text.substr(0, comma));
    if (comma == text.size()) {
      return parts;
    }
    text.remove_prefix(comma + 1);
  }
}

Result<int64_t> ParseInteger(std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code == std::errc::result_out_of_range ||
      (code == std::errc() && (value < min || value > max))) {
    return Fail(ErrorKind::kUsage, "{} is out of range: from {} to {}", text, min, max);
  }
  if (code != std::errc() || end != text.data() + text.size()) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not a whole number", text);
  }
  return value;
}

Result<float> ParseReal(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) {
    digits.remove_prefix(1);
  }
  float value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc() || end != digits.data() + digits.size() || std::isnan(value)) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not a number", text);
  }
  return value;
}

Result<bool> ParseBool(std::string_view text) {
  for (const char* yes : {"1", "true", "yes", "on"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "false", "no", "off"}) {
    if (text == no) return false;
  }
  return Fail(ErrorKind::kUsage, "\"{}\" is neither true nor false", text);
}

}  // namespace plimsoll::cli
