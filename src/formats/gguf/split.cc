#include "formats/gguf/split.h"

#include <charconv>
#include <system_error>

#include "formats/escape.h"
#include "formats/gguf/limits.h"

namespace plimsoll::formats::gguf {
namespace {

constexpr std::string_view kExtension = ".gguf";
constexpr size_t kDigits = 5;

// Takes the last `n` characters off `text`.
std::string_view TakeLast(std::string_view& text, size_t n) {
  n = std::min(n, text.size());
  const std::string_view last = text.substr(text.size() - n);
  text.remove_suffix(n);
  return last;
}

std::optional<uint32_t> TakeNumber(std::string_view& text) {
  const std::string_view digits = TakeLast(text, kDigits);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole =
      digits.size() == kDigits && error == std::errc() && end == digits.data() + digits.size();
  return whole ? std::optional(number) : std::nullopt;
}

// Two parts that name their model differently are not of one model.
Result<> CheckSameModel(const PartHeader& first, const PartHeader& part) {
  for (const std::string_view key : {kKeyArchitecture, kKeyName}) {
    if (!part.metadata->Has(key)) {
      continue;  // later parts usually carry nothing but split.*
    }
    const auto ours = part.metadata->StringOr(key, "");
    const auto its = first.metadata->StringOr(key, "");
    if (ours && its && *ours != *its) {
      return Fail(ErrorKind::kBadModel,
                  "{} and {} are parts of different models: key '{}' is '{}' and '{}'",
                  first.file_name, part.file_name, key, Escape(*its), Escape(*ours));
    }
  }
  return {};
}

Result<> CheckPart(const PartHeader& part, uint32_t index, size_t count) {
  auto its_count = part.metadata->U32Or(kKeySplitCount, 1);
  if (!its_count) {
    return Fail(ErrorKind::kBadModel, "{}: {}", part.file_name, its_count.error().message);
  }
  if (*its_count != count) {
    return Fail(ErrorKind::kBadModel,
                "{}: key '{}' says that the model has {} files, but {} were opened; keep all parts "
                "in one folder under the names that they were published with",
                part.file_name, kKeySplitCount, *its_count, count);
  }
  if (count == 1) {
    return {};
  }
  auto number = part.metadata->U32(kKeySplitNo);
  if (!number) {
    return Fail(ErrorKind::kBadModel, "{}: {}", part.file_name, number.error().message);
  }
  if (*number != index) {
    return Fail(ErrorKind::kBadModel,
                "{}: key '{}' says that it is part {} of the model, its name says part {}",
                part.file_name, kKeySplitNo, uint64_t{*number} + 1, index + 1);
  }
  return {};
}

Result<> CheckTensorCount(const PartHeader& part, uint64_t n_tensors) {
  if (!part.metadata->Has(kKeySplitTensors)) {
    return {};
  }
  auto count = part.metadata->U32(kKeySplitTensors);
  if (!count) {
    return Fail(ErrorKind::kBadModel, "{}: {}", part.file_name, count.error().message);
  }
  if (*count != n_tensors) {
    return Fail(ErrorKind::kBadModel,
                "{}: key '{}' says that the model has {} tensors, its parts have {}; parts of "
                "different models may be mixed",
                part.file_name, kKeySplitTensors, *count, n_tensors);
  }
  return {};
}

}  // namespace

std::string SplitName::FileName(uint32_t of_part) const {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, of_part, count, kExtension);
}

std::optional<SplitName> ParseSplitName(std::string_view file_name) {
  if (TakeLast(file_name, kExtension.size()) != kExtension) {
    return std::nullopt;
  }
  const auto count = TakeNumber(file_name);
  if (!count || TakeLast(file_name, 4) != "-of-") {
    return std::nullopt;
  }
  const auto part = TakeNumber(file_name);
  if (!part || TakeLast(file_name, 1) != "-" || file_name.empty()) {
    return std::nullopt;
  }
  if (*part < 1 || *part > *count) {
    return std::nullopt;
  }
  return SplitName{std::string(file_name), *part, *count};
}

Result<std::vector<std::filesystem::path>> SplitPaths(const std::filesystem::path& path) {
  const auto name = ParseSplitName(path.filename().string());
  if (!name) {
    return std::vector{path};
  }
  if (name->count > kMaxParts) {
    return Fail(ErrorKind::kBadModel, "{}: a split into {} files is more than the {} allowed",
                path.string(), name->count, kMaxParts);
  }
  std::vector<std::filesystem::path> paths;
  for (uint32_t part = 1; part <= name->count; ++part) {
    paths.push_back(path.parent_path() / name->FileName(part));
    std::error_code error;
    if (!std::filesystem::exists(paths.back(), error)) {
      return Fail(ErrorKind::kBadModel,
                  "{} is part {} of {}, and part {} ({}) is not beside it; fetch it too",
                  path.string(), name->part, name->count, part, paths.back().filename().string());
    }
  }
  return paths;
}

Result<> CheckSplit(const std::vector<PartHeader>& parts, uint64_t n_tensors) {
  for (uint32_t i = 0; i < parts.size(); ++i) {
    auto placed = CheckPart(parts[i], i, parts.size());
    if (!placed) {
      return placed;
    }
    auto same = CheckSameModel(parts.front(), parts[i]);
    if (!same) {
      return same;
    }
  }
  for (const PartHeader& part : parts) {
    auto counted = CheckTensorCount(part, n_tensors);
    if (!counted) {
      return counted;
    }
  }
  return {};
}

}  // namespace plimsoll::formats::gguf
