#include "base/bytes.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace plimsoll {
namespace {

constexpr std::string_view kSizeHelp =
    "write bytes, or a number with K, M, G or T, or a share of the model such as 25%";

Result<double> UnitFactor(std::string_view unit, std::string_view whole) {
  std::string u;
  for (const char c : unit) {
    u.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  constexpr std::string_view kPrefixes = "KMGT";
  if (u.empty() || u == "B") {
    return 1.0;
  }
  const auto power = kPrefixes.find(u[0]);
  const std::string_view rest = std::string_view(u).substr(1);
  if (power == std::string_view::npos || !(rest.empty() || rest == "B" || rest == "IB")) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not a size: {}", whole, kSizeHelp);
  }
  return std::pow(1024.0, static_cast<double>(power + 1));
}

}  // namespace

uint64_t SizeSpec::Resolve(uint64_t whole) const {
  if (percent > 0) {
    return static_cast<uint64_t>(static_cast<double>(whole) * percent / 100.0);
  }
  return bytes;
}

Result<SizeSpec> ParseSize(std::string_view text) {
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || !std::isfinite(number) || number < 0) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not a size: {}", text, kSizeHelp);
  }
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (unit == "%") {
    if (number <= 0 || number > 1e6) {
      return Fail(ErrorKind::kUsage, "\"{}\" is not a usable share: {}", text, kSizeHelp);
    }
    return SizeSpec{.bytes = 0, .percent = number};
  }
  auto factor = UnitFactor(unit, text);
  if (!factor) {
    return Forward(factor);
  }
  const double bytes = number * *factor;
  if (bytes >= 9.2e18) {
    return Fail(ErrorKind::kUsage, "\"{}\" is larger than any memory: {}", text, kSizeHelp);
  }
  return SizeSpec{.bytes = static_cast<uint64_t>(bytes), .percent = 0};
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000.0 && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  const int decimals = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} {}", value, decimals, kUnits[unit]);
}

}  // namespace plimsoll
