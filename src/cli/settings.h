// Options from a file, config.toml: what the command line and the environment leave open.
//
//   memory = "8G"              of every command that has --memory
//   threads = 2
//   [run]                      of plimsoll run; beats what stands outside
//   temp = 0.7
//   stop = ["END", "STOP"]     an option that may be given several times
//   [eval.logits]
//   top = 5
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::cli {

struct SettingsFile {
  std::filesystem::path path;
  bool must_exist = false;
};

// The file that PLIMSOLL_CONFIG names, else $XDG_CONFIG_HOME/plimsoll/config.toml, else
// ~/.config/plimsoll/config.toml, which need not be there. Nothing when none of these variables is
// set.
[[nodiscard]] std::optional<SettingsFile> FindSettingsFile();

struct Setting {
  std::vector<std::string> scope;   // the tables that it stands in, outermost first
  std::string key;                  // an option's long name without the dashes
  std::vector<std::string> values;  // as on the command line; more or fewer than one from a list
  uint32_t line = 0;
};

// Immutable.
class Settings {
 public:
  Settings() = default;  // without a file
  // A file that need not exist and does not has no settings. kUsage with file, line and column for
  // what is not TOML, or no value of an option; kIo when it cannot be read.
  [[nodiscard]] static Result<Settings> Read(const SettingsFile& file);
  // The same of its text.
  [[nodiscard]] static Result<Settings> Parse(std::string_view text, std::filesystem::path path);

  // The settings of an option of a command ("run", "eval logits"); the first, of the innermost
  // table, is the one that holds. `names` with dashes.
  [[nodiscard]] std::vector<const Setting*> Find(std::string_view command,
                                                 std::span<const std::string> names) const;
  [[nodiscard]] const std::vector<Setting>& all() const { return all_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // "config.toml:3", with the whole path.
  [[nodiscard]] std::string Place(const Setting& setting) const;

 private:
  friend class SettingsReader;

  std::filesystem::path path_;
  std::vector<Setting> all_;  // inner tables before outer ones
};

// What is learnt of commands' options when they are asked for them instead of being run.
struct OptionSurvey {
  struct Given {
    std::string command;
    std::string option;
    std::vector<std::string> values;
    std::string origin;  // PLIMSOLL_THREADS, or a place in the file
    std::string beaten;  // a place in the file that the environment beats
  };
  std::vector<Given> given;            // by the environment or the file
  std::set<const Setting*> known;      // that are an option of some command
  std::set<std::string> option_names;  // of all commands, without dashes
};

// Where options come from beside the arguments and the environment.
struct OptionSources {
  const Settings* settings = nullptr;  // null: no file
  OptionSurvey* survey = nullptr;      // null: the command is run
};

}  // namespace plimsoll::cli
