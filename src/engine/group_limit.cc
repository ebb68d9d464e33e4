#include "engine/group_limit.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/bytes.h"

namespace plimsoll::engine {

Result<> CheckGroupAllows(uint64_t line, const io::MemoryFacts& facts) {
  const auto most = io::CgroupLine(facts);
  const uint64_t whole_pages = line / (4 * kKiB) * (4 * kKiB);  // as the kernel counts limits
  if (!most || whole_pages <= *most) {
    return {};
  }
  const uint64_t others = facts.cgroup_others();
  const bool is_shared = others > io::kCgroupChargesMin;
  // What others use comes and goes.
  const uint64_t good = is_shared ? *most - std::min(*most, io::kCgroupChargesMin) : *most;
  return Fail(
      ErrorKind::kDoesNotFit,
      "a line of {} is too high: the control group has a limit of {}, of which {} are kept for "
      "what is not under the line{}\n{}raise the limit",
      FormatBytes(line), FormatBytes(*facts.cgroup_limit), FormatBytes(io::CgroupReserve(facts)),
      is_shared ? fmt::format(" ({} are in use by others)", FormatBytes(others)) : "",
      good >= kMiB ? fmt::format("lower it with --memory {}M, or ", good / kMiB) : "");
}

}  // namespace plimsoll::engine
