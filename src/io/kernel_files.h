// What the kernel says in the files of /proc and /sys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::io {

// `name` in a folder. Not with operator/: where the system has no memory for the longer path,
// libstdc++ 12 frees a part of the shorter one twice.
[[nodiscard]] std::filesystem::path Below(const std::filesystem::path& folder,
                                          const std::filesystem::path& name);
// The file's first word; nothing when it is not a number or not there.
[[nodiscard]] std::optional<uint64_t> ReadNumber(const std::filesystem::path& file);
// The file's first line; empty when there is none.
[[nodiscard]] std::string ReadLine(const std::filesystem::path& file);
// The value behind `key` in lines such as "MemTotal:  123 kB" or "inactive_file 456"; 0 without it.
[[nodiscard]] uint64_t NumberBehind(const std::filesystem::path& file, const std::string& key);
// Where /proc/self/cgroup says that the process is; `controller` is empty for version 2.
[[nodiscard]] std::optional<std::filesystem::path> CgroupPath(const std::filesystem::path& root,
                                                              std::string_view controller);

}  // namespace plimsoll::io
