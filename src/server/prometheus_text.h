// Prometheus' text format, version 0.0.4.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/histogram.h"

namespace plimsoll::server {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

// Families one after another, each with all of its samples: the format wants them together. Names
// begin with "plimsoll_".
class PrometheusText {
 public:
  // The samples that follow are of this family. `type`: counter, gauge or histogram.
  void Family(std::string_view name, std::string_view type, std::string_view help);
  void Sample(const Labels& labels, double value) { Line("", labels, value); }
  void Sample(const Labels& labels, std::integral auto value) {
    Line("", labels, static_cast<double>(value));
  }
  void Sample(const Labels& labels, const Histogram::Counts& counts);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void Line(std::string_view suffix, const Labels& labels, double value);

  std::string name_;
  std::string text_;
};

}  // namespace plimsoll::server
