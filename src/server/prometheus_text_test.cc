#include "server/prometheus_text.h"

#include <cmath>

#include <gtest/gtest.h>

namespace plimsoll::server {
namespace {

TEST(PrometheusText, WritesFamiliesAndEscapesLabels) {
  PrometheusText out;
  out.Family("things_total", "counter", "Things.");
  out.Sample({}, 3);
  out.Sample({{"model", "a\"b\\c\nd"}, {"phase", "x"}}, 0.5);
  out.Sample({}, INFINITY);
  EXPECT_EQ(out.text(),
            "# HELP plimsoll_things_total Things.\n"
            "# TYPE plimsoll_things_total counter\n"
            "plimsoll_things_total 3\n"
            "plimsoll_things_total{model=\"a\\\"b\\\\c\\nd\",phase=\"x\"} 0.5\n"
            "plimsoll_things_total +Inf\n");
}

TEST(PrometheusText, HistogramsAreCumulative) {
  Histogram histogram;
  for (const double seconds : {0.0005, 0.02, 0.02, 7.0, 5000.0}) {
    histogram.Observe(seconds);
  }
  PrometheusText out;
  out.Family("h", "histogram", "H.");
  out.Sample({{"m", "x"}}, histogram.counts());
  const auto has = [&](const std::string& line) {
    return out.text().find(line + "\n") != std::string::npos;
  };
  EXPECT_TRUE(has("plimsoll_h_bucket{m=\"x\",le=\"0.001\"} 1"));
  EXPECT_TRUE(has("plimsoll_h_bucket{m=\"x\",le=\"0.025\"} 3"));
  EXPECT_TRUE(has("plimsoll_h_bucket{m=\"x\",le=\"10\"} 4"));
  EXPECT_TRUE(has("plimsoll_h_bucket{m=\"x\",le=\"+Inf\"} 5"));
  EXPECT_TRUE(has("plimsoll_h_sum{m=\"x\"} 5007.0405"));
  EXPECT_TRUE(has("plimsoll_h_count{m=\"x\"} 5"));
}

}  // namespace
}  // namespace plimsoll::server
