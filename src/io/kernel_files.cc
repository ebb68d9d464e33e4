#include "io/kernel_files.h"

#include <fstream>
#include <sstream>

namespace plimsoll::io {

using std::filesystem::path;

path Below(const path& folder, const path& name) { return folder.native() + '/' + name.native(); }

std::optional<uint64_t> ReadNumber(const path& file) {
  std::ifstream in(file);
  uint64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}

uint64_t NumberBehind(const path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    uint64_t value = 0;
    if (words >> name >> value && name == key) {
      return value;
    }
  }
  return 0;
}

std::optional<path> CgroupPath(const path& root, std::string_view controller) {
  std::ifstream in(Below(root, "proc/self/cgroup"));
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) {
      continue;
    }
    std::istringstream controllers(line.substr(first + 1, second - first - 1));
    bool matches = controller.empty() && controllers.peek() == EOF;
    for (std::string name; std::getline(controllers, name, ',');) {
      matches = matches || (!controller.empty() && name == controller);
    }
    if (matches) {
      return path(line.substr(second + 1)).relative_path();
    }
  }
  return std::nullopt;
}

std::string ReadLine(const path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

}  // namespace plimsoll::io
