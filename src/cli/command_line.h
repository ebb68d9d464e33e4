// The options of one command: declared once, read from the arguments and the environment, printed
// as help.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/settings.h"

namespace plimsoll::cli {

// Declare the options, then Parse. Every option but a positional one also has a name in the
// environment: PLIMSOLL_ and its first long name in capitals (--ctx-size: PLIMSOLL_CTX_SIZE), and
// its long names in the settings file. The command line beats the environment, and that the file;
// of an option given twice the last counts, unless it repeats. Targets must outlive Parse, and keep
// their value when the option is not given.
class CommandLine {
 public:
  enum class Outcome { kRun, kHelp };
  enum class Origin { kBuiltIn, kSettings, kEnvironment, kArguments };
  // Takes an option's value; an error's message goes behind the option's name.
  using Setter = std::function<Result<>(const std::string& value)>;

  // "run", "Chat in the terminal, or answer one prompt.", "plimsoll run [options] [MODEL]"
  CommandLine(std::string name, std::string summary, std::string usage);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // Options declared from here on are listed under this heading.
  void Topic(std::string heading);

  // `names` are separated by commas; the first long one is the name in messages and the
  // environment. Without `help` it is not listed: another program's name, for those who know it.
  void Option(std::string_view names, std::string_view value_name, std::string_view help,
              Setter setter);
  // Called once for every time that it is given.
  void Repeated(std::string_view names, std::string_view value_name, std::string_view help,
                Setter setter);
  void Flag(std::string_view names, std::string_view help, bool& target);
  void Text(std::string_view names, std::string_view value_name, std::string_view help,
            std::string& target);
  void Text(std::string_view names, std::string_view value_name, std::string_view help,
            std::optional<std::string>& target);
  void Integer(std::string_view names, std::string_view help, std::integral auto& target,
               int64_t min, int64_t max);
  void Real(std::string_view names, std::string_view help, float& target);
  // An argument without a name; those that are declared first are filled first.
  void Positional(std::string_view value_name, std::string_view help,
                  std::optional<std::string>& target);

  // kUsage, with what was probably meant when an option is unknown. With a survey the settings are
  // tried, the survey is told what they and the environment give, and the outcome is kHelp.
  [[nodiscard]] Result<Outcome> Parse(std::vector<std::string> args,
                                      const OptionSources& sources = {});
  // After Parse: where the option of this long name got its value.
  [[nodiscard]] Origin OriginOf(std::string_view long_name) const;

  [[nodiscard]] std::string Help() const;
  // The long names, for tests and completion.
  [[nodiscard]] std::vector<std::string> LongNames() const;

 private:
  struct Entry;
  struct Parser;

  Entry& Declare(std::string_view names, std::string_view value_name, std::string_view help);
  [[nodiscard]] Result<> Apply(Entry& entry, const Settings* settings) const;
  [[nodiscard]] Result<> ApplySetting(const Entry& entry, const Setting& setting,
                                      const Settings& settings) const;
  [[nodiscard]] Result<> Survey(const Entry& entry, const OptionSources& sources) const;
  [[nodiscard]] Result<> RefuseUnknown() const;

  std::string name_;
  std::string summary_;
  std::string usage_;
  std::string topic_ = "Options";
  std::unique_ptr<Parser> parser_;
  std::vector<Entry> entries_;
};

// "a,,b" are three parts, and "" is one.
[[nodiscard]] std::vector<std::string> SplitAtCommas(std::string_view text);
// "12" and nothing else, within [min, max].
[[nodiscard]] Result<int64_t> ParseInteger(std::string_view text, int64_t min, int64_t max);
// "0.8", "-inf"; no NaN.
[[nodiscard]] Result<float> ParseReal(std::string_view text);
// "1", "true", "yes", "on" or their opposites.
[[nodiscard]] Result<bool> ParseBool(std::string_view text);

void CommandLine::Integer(std::string_view names, std::string_view help, std::integral auto& target,
                          int64_t min, int64_t max) {
  Option(names, "N", help, [&target, min, max](const std::string& value) -> Result<> {
    auto number = ParseInteger(value, min, max);
    if (!number) {
      return Forward(number);
    }
    target = static_cast<std::remove_reference_t<decltype(target)>>(*number);
    return {};
  });
}

}  // namespace plimsoll::cli
