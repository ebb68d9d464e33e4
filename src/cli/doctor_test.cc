#include "cli/doctor.h"

#include <sstream>
#include <string>

#include <gmock/gmock.h>

#include "base/bytes.h"

namespace plimsoll::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

bench::MachineReport Report() {
  bench::MachineReport report;
  report.processor = "Some CPU \x1b[31m";
  report.features = {"AVX2", "FMA"};
  report.cores = {.processors = {0, 2}, .n_usable = 2};
  report.kernels = {{"avx2", "AVX2", true, true}};
  report.memory = {.total = 16 * kGiB, .available = 8 * kGiB, .cgroup_limit = 4 * kGiB};
  report.default_line = 3 * kGiB;
  report.limits = {.locked_bytes = 8 * kMiB, .open_files = 1024};
  report.huge_pages = {.transparent = "madvise", .defragment = ""};
  report.disk_path = "/models/m.gguf";
  report.file_system = "xfs";
  report.direct = true;
  report.disk =
      io::DiskSpeed{.direct = true,
                    .cells = {{64 << 10, 1, 0.5e9}, {64 << 10, 4, 1e9}, {1 << 20, 1, 2e9}},
                    .sustained = 1.75e9};
  return report;
}

TEST(Doctor, SaysEachFigureAndWhatToChange) {
  const std::string text = DoctorText(Report());
  EXPECT_THAT(text, HasSubstr("  cores          2 usable of 2\n"));
  EXPECT_THAT(text, HasSubstr("  kernels        avx2 (AVX2)\n"));
  EXPECT_THAT(text, HasSubstr("  control group  4.00 GiB, 0 B of it used\n"));
  EXPECT_THAT(text, HasSubstr("  bandwidth      1.75 GB/s over a second, 2.00 at best\n"));
  EXPECT_THAT(text, HasSubstr("  64.0 KiB       0.50 GB/s x1, 1.00 GB/s x4\n"));
  EXPECT_THAT(text, HasSubstr("  1.00 MiB       2.00 GB/s x1\n"));
  EXPECT_THAT(text, HasSubstr("\nWhat to change\n  - Only 8.00 MiB of memory may be locked"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 88U) << line;
  }
}

TEST(Doctor, NamesWhatItCouldNotFindOut) {
  bench::MachineReport report = Report();
  report.disk.reset();
  report.disk_not_measured = "no space";
  report.direct.reset();
  report.uring_refused = "EPERM";
  report.processor.clear();
  const std::string text = DoctorText(report);
  EXPECT_THAT(text, HasSubstr("  name           not named\n"));
  EXPECT_THAT(text, HasSubstr("  direct I/O     not tried\n"));
  EXPECT_THAT(text, HasSubstr("  io_uring       refused: EPERM\n"));
  EXPECT_THAT(text, HasSubstr("  bandwidth      not measured: no space\n"));
}

TEST(Doctor, JsonHasTheSame) {
  const std::string json = DoctorJson(Report());
  EXPECT_THAT(json, HasSubstr(R"("cgroup_limit_bytes":4294967296)"));
  EXPECT_THAT(json, HasSubstr(R"("pressure":null)"));
  EXPECT_THAT(json, HasSubstr(R"("direct_io":true)"));
  EXPECT_THAT(json, HasSubstr(R"({"page_bytes":65536,"depth":4,"bytes_per_second":1000000000})"));
  EXPECT_THAT(json, HasSubstr(R"("advice":["Only 8.00 MiB)"));
  EXPECT_EQ(json.back(), '\n');
}

}  // namespace
}  // namespace plimsoll::cli
