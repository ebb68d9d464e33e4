#include "io/measurement_cache.h"

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <span>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

#include "base/fnv.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "io/kernel_files.h"
#include "io/machine.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;

constexpr std::string_view kMagic = "plimsoll-measurements 1";
constexpr uint64_t kFileBytesMax = 4 << 20;

path CacheFolder() {
  // The XDG base directory specification: relative paths are to be ignored.
  for (const auto& [variable, below] :
       {std::pair("XDG_CACHE_HOME", "plimsoll"), std::pair("HOME", ".cache/plimsoll")}) {
    const char* const value = std::getenv(variable);
    if (value != nullptr && path(value).is_absolute()) {
      return path(value) / below;
    }
  }
  return {};
}

// The lines behind the first when the whole is one of ours, whole.
std::optional<std::string> CheckedBody(const std::string& text, std::string_view key) {
  const size_t end = text.rfind("checksum ");
  if (end == std::string::npos) {
    return std::nullopt;
  }
  const std::string body = text.substr(0, end);
  if (text.substr(end) != fmt::format("checksum {:016x}\n", Fnv1a(body))) {
    return std::nullopt;
  }
  const std::string head = fmt::format("{}\nkey {}\n", kMagic, key);
  return body.starts_with(head) ? std::optional(body.substr(head.size())) : std::nullopt;
}

}  // namespace

MeasurementCache MeasurementCache::OfUser() { return MeasurementCache(CacheFolder()); }

path MeasurementCache::PathOf(std::string_view key) const {
  return folder_ / fmt::format("measured-{:016x}.txt", Fnv1a(key));
}

std::optional<std::vector<Measurement>> MeasurementCache::Load(std::string_view key,
                                                               std::chrono::seconds age) const {
  auto read = Read(key, age);
  return read ? *std::move(read) : std::nullopt;
}

Result<std::optional<std::vector<Measurement>>> MeasurementCache::Read(
    std::string_view key, std::chrono::seconds age) const {
  std::error_code ignored;
  if (folder_.empty() || !std::filesystem::exists(PathOf(key), ignored)) {
    return std::nullopt;
  }
  const auto text = ReadWhole(PathOf(key), kFileBytesMax);
  if (!text) {
    return tl::unexpected(text.error());
  }
  const auto body = CheckedBody(*text, key);
  if (!body) {
    return Fail(ErrorKind::kBadModel,
                "{} is not as it was written: it is damaged or of another version",
                PathOf(key).string());
  }
  std::istringstream in(*body);
  std::string word;
  int64_t time = 0;
  const int64_t now = std::time(nullptr);
  if (!(in >> word >> time) || word != "time" || time > now || now - time > age.count()) {
    return std::nullopt;
  }
  std::vector<Measurement> measurements;
  for (Measurement m; in >> m.row >> m.column >> m.value;) {
    if (!std::isfinite(m.value)) {
      return std::nullopt;
    }
    measurements.push_back(m);
  }
  return measurements;
}

Result<> MeasurementCache::Store(std::string_view key,
                                 const std::vector<Measurement>& measurements) const {
  if (folder_.empty()) {
    return {};
  }
  std::string body = fmt::format("{}\nkey {}\ntime {}\n", kMagic, key, std::time(nullptr));
  for (const Measurement& m : measurements) {
    body += fmt::format("{} {} {}\n", m.row, m.column, m.value);
  }
  body += fmt::format("checksum {:016x}\n", Fnv1a(body));
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    return Fail(ErrorKind::kIo, "cannot make {}: {}", folder_.string(), error.message());
  }
  auto file = AtomicFile::Create(PathOf(key));
  if (!file) {
    return Forward(file);
  }
  if (auto written = file->Append(std::as_bytes(std::span(body))); !written) {
    return written;
  }
  return file->Commit();
}

std::string MachineKey(const path& root) {
  return fmt::format("{} {}", ReadLine(root / "etc/machine-id"), ProcessorName(root));
}

}  // namespace plimsoll::io
