#include "cli/settings.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

// A large header: this file alone includes it.
#include <toml++/toml.h>

namespace plimsoll::cli {
namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;

std::optional<std::filesystem::path> FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::nullopt
                                            : std::optional<std::filesystem::path>(value);
}

std::string TextOf(const toml::node& node) {
  if (const auto* text = node.as_string()) {
    return text->get();
  }
  if (const auto* number = node.as_integer()) {
    return fmt::format("{}", number->get());
  }
  if (const auto* number = node.as_floating_point()) {
    return fmt::format("{}", number->get());
  }
  return node.as_boolean()->get() ? "true" : "false";
}

bool IsValue(const toml::node& node) {
  return node.is_string() || node.is_number() || node.is_boolean();
}

std::vector<std::string> WordsOf(std::string_view command) {
  std::vector<std::string> words;
  while (!command.empty()) {
    const size_t space = std::min(command.find(' '), command.size());
    words.emplace_back(command.substr(0, space));
    command.remove_prefix(std::min(space + 1, command.size()));
  }
  return words;
}

}  // namespace

// Walks the tables of a file.
class SettingsReader {
 public:
  explicit SettingsReader(Settings& settings) : settings_(settings) {}

  [[nodiscard]] Result<> Read(const toml::table& table, const std::vector<std::string>& scope) {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      if (const toml::table* inner = node.as_table()) {
        std::vector<std::string> inner_scope = scope;
        inner_scope.push_back(name);
        if (auto read = Read(*inner, inner_scope); !read) {
          return read;
        }
        continue;
      }
      Setting setting = {
          .scope = scope, .key = name, .values = {}, .line = key.source().begin.line};
      if (auto read = ReadValues(node, setting); !read) {
        return read;
      }
      settings_.all_.push_back(std::move(setting));
    }
    return {};
  }

 private:
  [[nodiscard]] Result<> ReadValues(const toml::node& node, Setting& setting) const {
    if (const toml::array* list = node.as_array()) {
      for (const toml::node& element : *list) {
        if (!IsValue(element)) {
          return NoValue(setting);
        }
        setting.values.push_back(TextOf(element));
      }
      return {};
    }
    if (!IsValue(node)) {
      return NoValue(setting);
    }
    setting.values.push_back(TextOf(node));
    return {};
  }

  [[nodiscard]] tl::unexpected<Error> NoValue(const Setting& setting) const {
    return Fail(ErrorKind::kUsage,
                "{}: {} is neither a text, a number, true or false, nor a list of these",
                settings_.Place(setting), setting.key);
  }

  Settings& settings_;
};

std::optional<SettingsFile> FindSettingsFile() {
  if (auto named = FromEnvironment("PLIMSOLL_CONFIG")) {
    return SettingsFile{.path = std::move(*named), .must_exist = true};
  }
  const std::filesystem::path file = std::filesystem::path("plimsoll") / "config.toml";
  if (const auto folder = FromEnvironment("XDG_CONFIG_HOME")) {
    return SettingsFile{.path = *folder / file};
  }
  if (const auto home = FromEnvironment("HOME")) {
    return SettingsFile{.path = *home / ".config" / file};
  }
  return std::nullopt;
}

Result<Settings> Settings::Read(const SettingsFile& file) {
  const std::filesystem::path& path = file.path;
  std::error_code error;
  if (!file.must_exist && !std::filesystem::exists(path, error)) {
    Settings none;
    none.path_ = path;
    return none;
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.eof() && in.gcount() == 0) {
    return Fail(
        ErrorKind::kIo, "{} cannot be read: {}", path.string(),
        std::filesystem::is_directory(path, error) ? "it is a folder" : std::strerror(errno));
  }
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kFileBytesMax) {
    return Fail(ErrorKind::kUsage, "{} is no list of options: it is longer than a megabyte",
                path.string());
  }
  return Parse(text, path);
}

Result<Settings> Settings::Parse(std::string_view text, std::filesystem::path path) {
  Settings settings;
  settings.path_ = std::move(path);
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    return Fail(ErrorKind::kUsage, "{}:{}:{}: {}", settings.path_.string(), at.line, at.column,
                error.description());
  }
  if (auto read = SettingsReader(settings).Read(table, {}); !read) {
    return Forward(read);
  }
  std::ranges::stable_sort(settings.all_, [](const Setting& a, const Setting& b) {
    return a.scope.size() > b.scope.size();
  });
  return settings;
}

std::vector<const Setting*> Settings::Find(std::string_view command,
                                           std::span<const std::string> names) const {
  const std::vector<std::string> words = WordsOf(command);
  std::vector<const Setting*> found;
  for (const Setting& setting : all_) {
    if (setting.scope.size() <= words.size() &&
        std::ranges::equal(setting.scope, std::span(words).first(setting.scope.size())) &&
        std::ranges::find(names, "--" + setting.key) != names.end()) {
      found.push_back(&setting);
    }
  }
  return found;
}

std::string Settings::Place(const Setting& setting) const {
  return fmt::format("{}:{}", path_.string(), setting.line);
}

}  // namespace plimsoll::cli
