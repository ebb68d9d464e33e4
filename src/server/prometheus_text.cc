#include "server/prometheus_text.h"

#include <cmath>

#include <fmt/format.h>

namespace plimsoll::server {
namespace {

std::string EscapedLabel(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\n') {
      escaped += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') {
      escaped += '\\';
    }
    escaped += c;
  }
  return escaped;
}

std::string MetricNumber(double value) {
  if (std::isinf(value)) {
    return value > 0 ? "+Inf" : "-Inf";
  }
  return std::isnan(value) ? "NaN" : fmt::format("{}", value);
}

}  // namespace

void PrometheusText::Family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = fmt::format("plimsoll_{}", name);
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
}

void PrometheusText::Sample(const Labels& labels, const Histogram::Counts& counts) {
  Labels with_bound = labels;
  with_bound.emplace_back("le", "");
  uint64_t n = 0;
  for (size_t i = 0; i < counts.of.size(); ++i) {
    n += counts.of[i];
    with_bound.back().second =
        MetricNumber(i < kHistogramBounds.size() ? kHistogramBounds[i] : INFINITY);
    Line("_bucket", with_bound, static_cast<double>(n));
  }
  Line("_sum", labels, counts.sum);
  Line("_count", labels, static_cast<double>(counts.n));
}

void PrometheusText::Line(std::string_view suffix, const Labels& labels, double value) {
  text_ += name_;
  text_ += suffix;
  if (!labels.empty()) {
    char before = '{';
    for (const auto& [name, label] : labels) {
      text_ += fmt::format("{}{}=\"{}\"", before, name, EscapedLabel(label));
      before = ',';
    }
    text_ += '}';
  }
  text_ += fmt::format(" {}\n", MetricNumber(value));
}

}  // namespace plimsoll::server
