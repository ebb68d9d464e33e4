#include "io/disk_speed.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <system_error>

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "io/fake_disk.h"
#include "io/frame_memory.h"
#include "io/measurement_cache.h"

namespace plimsoll::io {
namespace {

constexpr std::chrono::seconds kPatience{30};  // for one read
constexpr std::chrono::seconds kAge = std::chrono::hours(30 * 24);

using Clock = std::chrono::steady_clock;

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

// Larger pages and more of them at once are never slower but for other work on the disk meanwhile.
void Smooth(std::vector<DiskSpeed::Cell>& cells) {
  for (DiskSpeed::Cell& cell : cells) {
    for (const DiskSpeed::Cell& smaller : cells) {
      if (smaller.page_bytes <= cell.page_bytes && smaller.depth <= cell.depth) {
        cell.bytes_per_second = std::max(cell.bytes_per_second, smaller.bytes_per_second);
      }
    }
  }
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

// Row 0 has what is not a cell: how the file was read, and the sustained rate.
std::optional<DiskSpeed> Remembered(const File& file, const DiskSpeedOptions& options) {
  const auto known =
      options.anew ? std::nullopt : MeasurementCache::OfUser().Load(KeyOf(file, options), kAge);
  if (!known || known->size() < 3) {
    return std::nullopt;
  }
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

void Remember(const File& file, const DiskSpeedOptions& options, const DiskSpeed& speed) {
  std::vector<Measurement> measurements = {{0, 0, speed.direct ? 1.0 : 0.0},
                                           {0, 1, speed.sustained}};
  for (const DiskSpeed::Cell& cell : speed.cells) {
    measurements.push_back({cell.page_bytes, cell.depth, cell.bytes_per_second});
  }
  static_cast<void>(MeasurementCache::OfUser().Store(KeyOf(file, options), measurements));
}

// A file that is removed again.
class Scratch {
 public:
  explicit Scratch(std::filesystem::path path) : path_(std::move(path)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Writes it anew, with bytes that nothing can compress, and to the disk.
  [[nodiscard]] Result<> Fill(uint64_t bytes) const {
    auto file = AtomicFile::Create(path_);
    if (!file) {
      return Forward(file);
    }
    std::vector<std::byte> block(std::min<uint64_t>(bytes, 4 << 20));
    for (uint64_t at = 0; at < bytes; at += block.size()) {
      FakeBytes(0, at, block);
      if (auto written = file->Append(block); !written) {
        return written;
      }
    }
    return file->Commit();
  }

 private:
  std::filesystem::path path_;
};

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

void DiskSpeed::RaiseTo(double bytes_per_second, uint64_t page_bytes, uint32_t depth) {
  const double known = BytesPerSecond(page_bytes, depth);
  if (known == 0 || bytes_per_second <= known) {
    return;
  }
  for (Cell& cell : cells) {
    cell.bytes_per_second *= bytes_per_second / known;
  }
  sustained = std::max(sustained, bytes_per_second);
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
  auto memory = FrameMemory::Allocate(options.memory_bytes);
  if (!memory) {
    return Forward(memory);
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
    auto rate = MeasureCell(**reader, *id, file->size(), plan, memory->data());
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
  Smooth(speed.cells);
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
  if (auto known = Remembered(*file, options)) {
    return std::move(*known);
  }
  auto speed = MeasureDisk(file, options);
  if (speed) {
    Remember(*file, options, *speed);
  }
  return speed;
}

std::optional<DiskSpeed> KnownDiskSpeed(const File& file) { return Remembered(file, {}); }

Result<DiskSpeed> CachedFolderSpeed(const std::filesystem::path& folder,
                                    const DiskSpeedOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return Fail(ErrorKind::kIo, "cannot make {}: {}", folder.string(), error.message());
  }
  const Scratch scratch(folder / fmt::format("measuring-{}.tmp", ::getpid()));
  if (auto touched = scratch.Fill(kIoAlignment); !touched) {
    return Forward(touched);
  }
  auto file = File::Open(scratch.path());
  if (!file) {
    return Forward(file);
  }
  if (auto known = Remembered(**file, options)) {
    return std::move(*known);
  }
  if (auto filled = scratch.Fill(options.scratch_bytes); !filled) {
    return Forward(filled);
  }
  file = File::Open(scratch.path());
  return file ? CachedDiskSpeed(*file, options) : Result<DiskSpeed>(Forward(file));
}

}  // namespace plimsoll::io
