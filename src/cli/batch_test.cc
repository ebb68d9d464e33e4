#include "cli/batch.h"

#include <gtest/gtest.h>

namespace plimsoll::cli {
namespace {

TEST(BatchProgressText, SaysHowFarItIsAndHowLongItWillTake) {
  server::batch::BatchProgress progress = {.n_read = 2000, .n_requests = 2000};
  EXPECT_EQ(BatchProgressText(progress, 0), "answered 0 of 2000");
  // Those of an earlier run tell nothing of this one's pace.
  progress.n_earlier = 1000;
  progress.n_done = 1000;
  EXPECT_EQ(BatchProgressText(progress, 5), "answered 1000 of 2000");
  progress.n_done = 1100;
  progress.n_refused = 3;
  EXPECT_EQ(BatchProgressText(progress, 40),
            "answered 1100 of 2000 (3 refused), 2.5 a second, 6 min left");
  progress.n_done = 1950;
  EXPECT_EQ(BatchProgressText(progress, 380),
            "answered 1950 of 2000 (3 refused), 2.5 a second, 20 s left");
}

}  // namespace
}  // namespace plimsoll::cli
