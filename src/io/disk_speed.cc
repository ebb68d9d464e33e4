#include "io/disk_speed.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/bytes.h"
#include "io/measurement_cache.h"

namespace plimsoll::io {
namespace {

constexpr std::chrono::seconds kPatience{30};  // for one read
constexpr std::chrono::seconds kAge = std::chrono::hours(30 * 24);

using Clock = std::chrono::steady_clock;

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, FreeMemory>;

// Visits the pages of a file once each in an order without neighbours, and then again.
class PageOrder {
 public:
  PageOrder(uint64_t n_pages, uint64_t start) : n_pages_(n_pages), next_(start % n_pages) {
    // Near the golden section of the file, so that any stretch of visits is spread evenly.
    step_ = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(n_pages) * 0.618));
    while (std::gcd(step_, n_pages_) != 1) {
      ++step_;
    }
  }
  uint64_t Next() {
    const uint64_t page = next_;
    next_ = (next_ + step_) % n_pages_;
    return page;
  }

 private:
  uint64_t n_pages_;
  uint64_t next_;
  uint64_t step_;
};

struct CellPlan {
  uint64_t page_bytes = 0;
  uint32_t depth = 0;
  std::chrono::milliseconds time{};
  uint64_t seed = 0;
};

// `depth` pages are under way until the time is over; the rate is of those that came by then.
Result<double> MeasureCell(Reader& reader, ReadFileId file, uint64_t file_bytes,
                           const CellPlan& plan, std::byte* memory) {
  PageOrder order(file_bytes / plan.page_bytes, plan.seed);
  const auto submit = [&](uint64_t slot) {
    return reader.Submit({.file = file,
                          .offset = order.Next() * plan.page_bytes,
                          .bytes = plan.page_bytes,
                          .frame = {memory + slot * plan.page_bytes, plan.page_bytes},
                          .tag = slot});
  };
  const auto start = Clock::now();
  for (uint32_t i = 0; i < plan.depth; ++i) {
    static_cast<void>(submit(i));
  }
  uint64_t n_pages = 0;
  double seconds = 0;
  while (reader.n_outstanding() > 0) {
    std::array<ReadCompletion, 64> completions;
    const size_t n = reader.Wait(completions, kPatience);
    if (n == 0) {
      return Fail(ErrorKind::kIo, "the disk has not answered for {} s", kPatience.count());
    }
    const bool is_over = Clock::now() - start >= plan.time;
    for (size_t i = 0; i < n; ++i) {
      if (completions[i].outcome != ReadOutcome::kDone) {
        return tl::unexpected(reader.Describe(completions[i]));
      }
      if (!is_over) {
        static_cast<void>(submit(completions[i].tag));
      }
    }
    if (seconds == 0) {
      n_pages += n;
      if (is_over) {
        seconds = std::chrono::duration<double>(Clock::now() - start).count();
      }
    }
  }
  return static_cast<double>(n_pages * plan.page_bytes) / seconds;
}

// Of this machine, this device, this way of reading and these cells.
std::string KeyOf(const File& file, const DiskSpeedOptions& options) {
  struct stat status = {};
  struct statvfs system = {};
  static_cast<void>(::fstat(file.descriptor(), &status));
  static_cast<void>(::fstatvfs(file.descriptor(), &system));
  std::string key = fmt::format(
      "disk {} {:x} {} {} {}", MachineKey(), status.st_dev, system.f_blocks * system.f_frsize,
      options.backend.direct ? "direct" : "buffered", static_cast<int>(options.backend.kind));
  for (const uint64_t page : options.page_bytes) {
    key += fmt::format(" {}", page);
  }
  for (const uint32_t depth : options.depths) {
    key += fmt::format(" x{}", depth);
  }
  return key;
}

// Where x lies between the sorted values: the index below and the part of the way to the next, in
// logarithms.
template <class T>
std::pair<size_t, double> Locate(const std::vector<T>& values, T x) {
  if (x <= values.front()) {
    return {0, 0.0};
  }
  if (x >= values.back()) {
    return {values.size() - 1, 0.0};
  }
  const auto above =
      static_cast<size_t>(std::upper_bound(values.begin(), values.end(), x) - values.begin());
  const auto log = [](T value) { return std::log(static_cast<double>(value)); };
  const double below = log(values[above - 1]);
  return {above - 1, (log(x) - below) / (log(values[above]) - below)};
}

}  // namespace

double DiskSpeed::BytesPerSecond(uint64_t page_bytes, uint32_t depth) const {
  if (cells.empty()) {
    return 0;
  }
  std::vector<uint64_t> pages;
  for (const Cell& cell : cells) {
    if (pages.empty() || pages.back() != cell.page_bytes) {
      pages.push_back(cell.page_bytes);
    }
  }
  const auto of_page = [&](uint64_t page) {
    std::vector<uint32_t> depths;
    std::vector<double> rates;
    for (const Cell& cell : cells) {
      if (cell.page_bytes == page) {
        depths.push_back(cell.depth);
        rates.push_back(cell.bytes_per_second);
      }
    }
    const auto [i, part] = Locate(depths, depth);
    return part == 0 ? rates[i] : std::lerp(rates[i], rates[i + 1], part);
  };
  const auto [i, part] = Locate(pages, page_bytes);
  const double rate =
      part == 0 ? of_page(pages[i]) : std::lerp(of_page(pages[i]), of_page(pages[i + 1]), part);
  return std::min(rate, sustained);
}

double DiskSpeed::Peak() const {
  double peak = 0;
  for (const Cell& cell : cells) {
    peak = std::max(peak, cell.bytes_per_second);
  }
  return peak;
}

Result<DiskSpeed> MeasureDisk(const std::shared_ptr<const File>& file,
                              const DiskSpeedOptions& options) {
  if (file->window_begin() % kIoAlignment != 0) {
    return Fail(ErrorKind::kFailed, "{} does not begin at a block", file->name());
  }
  const Memory memory(
      static_cast<std::byte*>(std::aligned_alloc(kIoAlignment, options.memory_bytes)));
  if (memory == nullptr) {
    return Fail(ErrorKind::kDoesNotFit, "measuring the disk takes {} of memory",
                FormatBytes(options.memory_bytes));
  }
  DiskSpeed speed;
  CellPlan best;
  uint64_t seed = 1;
  const auto measure = [&](CellPlan plan) -> Result<double> {
    auto reader = MakeReader(options.backend, {.segment_bytes = plan.page_bytes});
    if (!reader) {
      return Forward(reader);
    }
    auto id = (*reader)->AddFile(file);
    if (!id) {
      return Forward(id);
    }
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    plan.seed = seed >> 16;
    auto rate = MeasureCell(**reader, *id, file->size(), plan, memory.get());
    speed.direct = (*reader)->is_direct(*id);
    return rate;
  };
  for (const uint64_t page : options.page_bytes) {
    for (const uint32_t depth : options.depths) {
      if (page > file->size() || page * depth > options.memory_bytes) {
        continue;
      }
      const CellPlan plan = {.page_bytes = page, .depth = depth, .time = options.time_a_cell};
      auto rate = measure(plan);
      if (!rate) {
        return Forward(rate);
      }
      if (*rate > speed.Peak()) {
        best = plan;
      }
      speed.cells.push_back({page, depth, *rate});
    }
  }
  if (speed.cells.empty()) {
    return Fail(ErrorKind::kFailed, "{} is too short to measure the disk with", file->name());
  }
  best.time = options.time_sustained;
  auto sustained = measure(best);
  if (!sustained) {
    return Forward(sustained);
  }
  speed.sustained = *sustained;
  return speed;
}

Result<DiskSpeed> CachedDiskSpeed(const std::shared_ptr<const File>& file,
                                  const DiskSpeedOptions& options) {
  // Row 0 has what is not a cell: how the file was read, and the sustained rate.
  const MeasurementCache cache = MeasurementCache::OfUser();
  const std::string key = KeyOf(*file, options);
  if (const auto known = cache.Load(key, kAge); known && known->size() > 2) {
    DiskSpeed speed;
    for (const Measurement& m : *known) {
      if (m.row == 0 && m.column == 0) {
        speed.direct = m.value != 0;
      } else if (m.row == 0) {
        speed.sustained = m.value;
      } else {
        speed.cells.push_back({m.row, static_cast<uint32_t>(m.column), m.value});
      }
    }
    return speed;
  }
  auto speed = MeasureDisk(file, options);
  if (!speed) {
    return speed;
  }
  std::vector<Measurement> measurements = {{0, 0, speed->direct ? 1.0 : 0.0},
                                           {0, 1, speed->sustained}};
  for (const DiskSpeed::Cell& cell : speed->cells) {
    measurements.push_back({cell.page_bytes, cell.depth, cell.bytes_per_second});
  }
  static_cast<void>(cache.Store(key, measurements));
  return speed;
}

}  // namespace plimsoll::io
